"""All that commands print: answers to stdout, what went wrong to stderr. Never a traceback for a stream's sake.

Characters that the stream's encoding lacks are replaced, and a reader that closes its pipe ends the command quietly.
Colours and a width exist on a terminal only; `NO_COLOR` (https://no-color.org) and `TERM=dumb` turn colours off. rich
is not imported here: it takes longer than a whole `status`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from core.platform.terminal import has_no_reader, takes_colours
from core.text import in_sentences, on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_DEFAULT_WIDTH = 80
_GAP = 2
_LEAST_COLUMN = 16
_LEAST_WRAPPED = 8
_JSON_SPACE = "\t\n\r "


class ReaderGone(Exception):
    """Whoever read our output wants no more of it."""


def prepare() -> None:
    """Set the standard streams up. Call it once, before anything is printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # A windowed program has none, and neither has one that was started with it closed.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole run
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def line(text: str = "") -> None:
    """Print a line to stdout. Text that comes from elsewhere goes through `core.text.on_one_line` before."""
    _write(sys.stdout, text + "\n")


def text(text: str) -> None:
    """Print text to stdout as it is, and at once."""
    _write(sys.stdout, text)
    _flush(sys.stdout)


def document(body: bytes) -> None:
    """Print a JSON document that the sidecar sent, and a newline. JSON is UTF-8 on every system.

    Byte for byte; on a terminal, what would steer it or turn text is escaped, as JSON allows.
    """
    _flush(sys.stdout)
    if is_terminal():
        body = _harmless(body.decode("utf-8", "replace")).encode()
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None:
        _write(sys.stdout, body.decode("utf-8", "replace") + "\n")
        return
    try:
        raw.write(body.rstrip(b"\n") + b"\n")
        raw.flush()
    except OSError as error:
        raise lost(error) from None


def as_json(value: Any) -> None:
    """Print a JSON document of our own, for what no call of the API answers."""
    document(_harmless(json.dumps(value, ensure_ascii=False)).encode("utf-8", "backslashreplace"))


def _harmless(document: str) -> str:
    """A JSON document without what `core.text.on_one_line` takes out: JSON demands that of the first controls only."""
    if on_one_line(document) == document:
        return document
    return "".join(
        sign if on_one_line(sign) == sign or sign in _JSON_SPACE else f"\\u{ord(sign):04x}" for sign in document
    )


def complain(message: str, action: str | None = None) -> None:
    """Say on stderr what went wrong, and the way out."""
    _say("aura-ollama: " + in_sentences(on_one_line(message), on_one_line(action) if action else None))


def note(text: str) -> None:
    """Say something on stderr that is no answer, such as what is being waited for."""
    _say(on_one_line(text))


def _say(text: str) -> None:
    # If nobody reads what went wrong, the exit code still tells.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def has_colours() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody has turned them off."""
    return not os.environ.get("NO_COLOR") and is_terminal() and takes_colours(sys.stdout.fileno())


def width() -> int | None:
    """The columns of the terminal, None if stdout is none: then nothing is cut."""
    if not is_terminal():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _DEFAULT_WIDTH
    except OSError:
        return _DEFAULT_WIDTH


def styled(text: str, *styles: str) -> str:
    """`text` in these styles (bold, dim, red, green, yellow) where there are colours, else as it is."""
    if not styles or not text or not has_colours():
        return text
    return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"


def fields(pairs: Iterable[tuple[str, str | None]]) -> None:
    """Print names and values in two columns; those without a value are left out. Values are made safe here."""
    shown = [(name, on_one_line(value)) for name, value in pairs if value]
    label = max((len(name) for name, _ in shown), default=0)
    room = width()
    for name, value in shown:
        head = "  " + styled(f"{name:{label}}", "dim") + " " * _GAP
        indent = 2 + label + _GAP
        for part in _wrapped(value, None if room is None else room - indent):
            line(head + part)
            head = " " * indent


def _wrapped(value: str, room: int | None) -> list[str]:
    if room is None or room < _LEAST_WRAPPED or columns(value) <= room:
        return [value]
    import textwrap

    # A word that is longer than the line, such as a path, stays in one piece: it may be copied.
    return textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) or [value]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    """Print rows below headers, aligned; the columns `right` to the right. Cells are made safe here.

    On a terminal that is too narrow the widest columns are cut; where that would leave too little of them to be read,
    the last columns are left out.
    """
    cells = [list(headers), *([on_one_line(cell) for cell in row] for row in rows)]
    widths = [max(columns(row[at]) for row in cells) for at in range(len(headers))]
    if (room := width()) is not None:
        while len(widths) > 1 and _whole(min(each, _LEAST_COLUMN) for each in widths) > room:
            widths.pop()
        while _whole(widths) > room and max(widths) > _LEAST_COLUMN:
            widths[widths.index(max(widths))] -= 1
    rights = set(right)
    for number, row in enumerate(cells):
        parts = [_padded(cell, widths[at], at in rights) for at, cell in enumerate(row[: len(widths)])]
        whole = (" " * _GAP).join(parts).rstrip()
        line(styled(whole, "dim") if number == 0 else whole)


def _whole(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + _GAP * (len(found) - 1)


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _padded(cell: str, wanted: int, is_right: bool) -> str:
    if columns(cell) > wanted:
        while columns(cell) > wanted - 1:
            cell = cell[:-1]
        cell += "…"
    space = " " * (wanted - columns(cell))
    return space + cell if is_right else cell + space


def finish() -> None:
    """Write out what is held. Raises as `line` does."""
    _flush(sys.stdout)


def catch_up() -> None:
    """Write out what is held. Raises ReaderGone also if nobody would read what comes next, where that can be known."""
    _flush(sys.stdout)
    if has_no_reader(sys.stdout.fileno()):
        raise ReaderGone


def let_go() -> None:
    """Have Python's own end write nowhere, once the reader has gone or the disk is full."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except OSError as error:
        raise lost(error) from None


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        raise lost(error) from None


def lost(error: OSError) -> Exception:
    """What to raise for an error of a write. Windows says EINVAL of a pipe that nobody reads."""
    return ReaderGone() if error.errno in (errno.EPIPE, errno.EINVAL) else error
