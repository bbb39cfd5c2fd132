"""From a child's bytes to lines that may be shown: cutting and cleaning. Pure, and safe for any bytes in any pieces.

How the line cutter works: bytes arrive in pieces that end anywhere, and the result must not depend on where. Whole
lines are cleaned and redacted in blocks of 16 KiB, which is much faster than line by line; the rest after the last
newline is held until more comes. A line may be endless, though, so once more than a window of it is held (a line, plus
the longest escape sequence or secret), full lines of `max_line` bytes are cut off its beginning. At the end of the
window there may be the beginning of an escape sequence, of a character or of \\r\\n: that is kept as it came, to be
cleaned together with the bytes that follow. Cleaning is idempotent, so the rest may be cleaned again.

Standard library only, because the shim imports it.
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.logs.redact import Redactor

MAX_LINE = 32 * 1024

_BLOCK_BYTES = 16 * 1024
_SLICE_BYTES = 4 * 1024

# ECMA-48: control sequences, strings (OSC, DCS and the like) and short sequences. Their lengths are bounded, so that a
# stray ESC cannot swallow output; a longer one stays visible.
_PARAMETERS = rb"[0-?]{0,64}[ -/]{0,8}"
_STRING = rb"[\]PX^_][ -~\x80-\xff]{0,1024}"
_SHORT = rb"[ -/]{0,8}"
_ESCAPE = re.compile(
    rb"\x1b(?:\[" + _PARAMETERS + rb"[@-~]|" + _STRING + rb"(?:\x07|\x1b\\)|" + _SHORT + rb"[0-OQ-WYZ\\`-~])"
)
_OPEN_ESCAPE = re.compile(rb"\x1b(?:\[" + _PARAMETERS + rb"|" + _STRING + rb"\x1b?|" + _SHORT + rb")\Z")
_OPEN_CHARACTER = re.compile(rb"(?:\r|[\xc2-\xf4][\x80-\xbf]{0,2})\Z")
_LONGEST_OPEN = 1024 + 16
# Characters that cannot be seen and change how a text is shown, in UTF-8: C1 controls; U+2028 and U+2029, which end
# lines in some viewers; and the marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9),
# which make a text read otherwise than it is. By their first byte, which memchr(3) finds.
_UNSEEN = (
    (b"\xc2", re.compile(rb"\xc2[\x80-\x9f]")),
    (b"\xd8", re.compile(rb"\xd8\x9c")),
    (b"\xe2", re.compile(rb"\xe2\x80[\x8e\x8f\xa8-\xae]")),
    (b"\xe2", re.compile(rb"\xe2\x81[\xa6-\xa9]")),
)
_CONTROLS = [bytes((code,)) for code in (*range(0x20), 0x7F) if code not in b"\t\n"]
_HARMLESS = bytes(code for code in range(0x100) if bytes((code,)) not in _CONTROLS)
_FEW_BYTES = 1024
# After so many different control sequences in one block, a regular expression removes the rest faster.
_DIFFERENT_SEQUENCES = 8


def clean(lines: bytes) -> bytes:
    r"""Make lines fit to show: UTF-8, no escape sequences, no \r at an end, controls and stray bytes as \xNN.

    C1 controls, other line ends and marks that turn the direction of text are shown as \uNNNN.
    """
    if b"\x1b" in lines:
        lines = _without_escapes(lines)
    if b"\r" in lines:
        lines = lines.replace(b"\r\n", b"\n")
    return _printable(lines)


def _without_escapes(text: bytes) -> bytes:
    r"""What _ESCAPE.sub(b"", text) returns, several times faster for coloured text.

    Coloured text has few different control sequences, each of them many times, so each is removed everywhere at once.
    Where one stands, the expression matches it and nothing else: in no match is ESC followed by [ except at its start.
    A NUL, which no match contains, takes its place until the end, so that its two sides do not become a new sequence.
    """
    if b"\0" in text:
        return _ESCAPE.sub(b"", text)
    start = 0
    for _ in range(_DIFFERENT_SEQUENCES):
        found = _ESCAPE.search(text, start)
        if found is None:
            break
        if not found[0].startswith(b"\x1b["):
            text = _ESCAPE.sub(b"", text)
            break
        start = found.start()
        text = text.replace(found[0], b"\0")
    else:
        text = _ESCAPE.sub(b"", text)
    return text.replace(b"\0", b"")


def _printable(lines: bytes) -> bytes:
    if not _has_controls(lines) and (lines.isascii() or (_is_utf8(lines) and not _has_unseen(lines))):
        return lines
    # In slices, because escaping may grow a text fourfold, and many large temporary blocks fragment the heap.
    shown = []
    start = 0
    while len(lines) - start > _SLICE_BYTES:
        end = _character_start(lines, start + _SLICE_BYTES)
        shown.append(_show(lines[start:end]))
        start = end
    shown.append(_show(lines[start:]))
    return b"".join(shown)


def _has_controls(text: bytes) -> bool:
    if len(text) <= _FEW_BYTES:
        return bool(text.translate(None, _HARMLESS))
    # One memchr(3) for each control is faster than one look at each byte of a long text.
    for control in _CONTROLS:  # noqa: SIM110 - a generator takes half as long again
        if control in text:
            return True
    return False


def _is_utf8(text: bytes) -> bool:
    view = memoryview(text)
    start = 0
    try:
        while start < len(text):
            end = start + _SLICE_BYTES
            start += utf_8_decode(view[start:end], "strict", end >= len(text))[1]
    except UnicodeDecodeError:
        return False
    return True


def _has_unseen(text: bytes) -> bool:
    return any(first in text and unseen.search(text) for first, unseen in _UNSEEN)


def _show(text: bytes) -> bytes:
    for control in _CONTROLS:
        if control in text:
            text = text.replace(control, b"\\x%02x" % control[0])
    if not text.isascii():
        text = text.decode("utf-8", "backslashreplace").encode("utf-8")
        for first, unseen in _UNSEEN:
            if first in text:
                text = unseen.sub(_escaped, text)
    return text


def _escaped(character: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(character[0].decode())


def _character_start(text: bytes, at: int) -> int:
    """A place up to 3 bytes before `at` that is not inside a character."""
    for start in range(at, max(at - 4, -1), -1):
        if text[start] & 0xC0 != 0x80:
            return start
    return at


def _keep(lines: bytes) -> bytes:
    return lines


class LineCutter:
    """Turns bytes, in whatever pieces they come, into blocks of clean whole lines, of `max_line` bytes at most.

    A line longer than `max_line` bytes, once cleaned, becomes several, cut between characters. The lines depend on
    the bytes alone, not on the pieces. At most about twice `max_line` is held back.
    """

    def __init__(self, max_line: int = MAX_LINE, redactor: Redactor | None = None) -> None:
        """`redactor` is applied before a line is cut, so that no part of a secret remains at a cut."""
        self._redact = redactor or _keep
        self._max_line = max_line
        self._block = min(_BLOCK_BYTES, max_line + 1)
        self._window = max_line + max(_LONGEST_OPEN, redactor.longest if redactor else 0)
        self._open = b""
        self.held: int | None = 0
        """How many bytes were fed after the end of the last block; None if the last block ends inside a line."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Blocks of the lines that `chunk` completes. Exhaust the iterator before the next call."""
        data = self._open + chunk
        start = 0
        while True:
            end = data.rfind(b"\n", start, start + self._block) + 1
            end = end or data.find(b"\n", start, start + self._window) + 1
            if end:
                yield from self._blocks(self._redact(clean(data[start:end])), len(data) - end)
                start = end
            elif len(data) - start > self._window:
                lines, rest = self._cut_open(data[start : start + self._window])
                self.held = None
                yield from lines
                data = rest + data[start + self._window :]
                start = 0
            else:
                self._open = data[start:]
                return

    def flush(self) -> Iterator[bytes]:
        """The last line, if it lacks its newline."""
        if self._open:
            yield from self._blocks(self._redact(clean(self._open + b"\n")), 0)
            self._open = b""

    def _blocks(self, lines: bytes, held: int) -> Iterator[bytes]:
        start = 0
        self.held = None
        while len(lines) - start > self._max_line + 1:
            end = lines.rfind(b"\n", start, start + self._max_line + 1) + 1
            if end:
                yield lines[start:end]
            else:
                end = _character_start(lines, start + self._max_line)
                yield lines[start:end] + b"\n"
            start = end
        self.held = held
        yield lines[start:]

    def _cut_open(self, begun: bytes) -> tuple[list[bytes], bytes]:
        """Cut full lines off the beginning of a line whose end has not come yet. Returns them and the rest.

        The rest is clean, except that an incomplete sequence or character at its end is as it came.
        """
        opened = _OPEN_ESCAPE.search(begun, max(0, len(begun) - _LONGEST_OPEN))
        tail = opened[0] if opened else b""
        text = _without_escapes(begun[: len(begun) - len(tail)])
        if kept := _OPEN_CHARACTER.search(text, max(0, len(text) - 3)):
            text, tail = text[: kept.start()], kept[0] + tail
        text = self._redact(_printable(text))
        lines = []
        start = 0
        while len(text) - start > self._max_line:
            end = _character_start(text, start + self._max_line)
            lines.append(text[start:end] + b"\n")
            start = end
        return lines, text[start:] + tail
