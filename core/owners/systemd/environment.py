"""The variables in the files that a unit names by `EnvironmentFile=`: systemd.exec(5) has their form.

systemd tells only the paths of these files, and reads them itself when the unit is started. They may be on a disk that
hangs, and may be root's alone.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.threads.single_flight import SingleFlight

_READ_SECONDS = 2.0
_MOST_BYTES = 1 << 20
_COMMENT = re.compile(r"^[ \t]*[#;](?:\\\n|[^\n])*", re.MULTILINE)
# Quotes count only before all else in a value, as in `'a' "b" c`; `a'b'` has four characters.
_QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
_PLAIN = r"\\.|[^\\\n]"
_ASSIGNMENT = re.compile(
    rf"^[ \t]*(\w+)[ \t]*=((?:[ \t]*(?:{_QUOTED}))*)[ \t]*((?:{_PLAIN})*)", re.MULTILINE | re.DOTALL
)
_QUOTES, _SIGNS = re.compile(_QUOTED, re.DOTALL), re.compile(_PLAIN, re.DOTALL)
_ESCAPE = re.compile(r"\\([\"\\`$\n])")


@dataclass(frozen=True, slots=True)
class Variables:
    """What the files hold. `unread` are those that we could not read; without one in `missing` no start succeeds."""

    found: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class EnvironmentFiles:
    """Reads them, however long their disk hangs. Belongs to one loop."""

    def __init__(self) -> None:
        self._files: Sequence[tuple[str, bool]] = ()
        self._reading = SingleFlight("environment files", lambda: read(self._files))

    async def read(self, files: Sequence[tuple[str, bool]]) -> Variables:
        """As `read` does; all are unread if that takes longer than 2 s. Raises nothing."""
        if not files:
            return Variables()
        self._files = files
        try:
            return await self._reading.run(_READ_SECONDS)
        except OSError:
            # TimeoutError is one.
            return Variables(unread=tuple(path for path, _ in files))


def read(files: Sequence[tuple[str, bool]]) -> Variables:
    """What these files hold, later ones before earlier ones. Blocks on the disk; raises nothing.

    `files` are paths, which may be patterns, and whether they may be missing, as with a `-` before them.
    """
    found: dict[str, str] = {}
    unread: list[str] = []
    missing: list[str] = []
    for pattern, may_be_missing in files:
        # systemd takes such patterns, as glob(3) does.
        for path in sorted(glob.glob(pattern)) or [pattern]:  # noqa: PTH207 - Path.glob takes no absolute pattern
            try:
                found |= parse(_text(path))
            except FileNotFoundError:
                missing += [] if may_be_missing else [path]
            except OSError:
                unread.append(path)
    return Variables(found, tuple(unread), tuple(missing))


def parse(text: str) -> dict[str, str]:
    """The variables in such a text. What is no assignment is left out, as systemd does."""
    found: dict[str, str] = {}
    for name, quoted, rest in _ASSIGNMENT.findall(_COMMENT.sub("", text)):
        signs: list[str] = _SIGNS.findall(rest)
        while signs and signs[-1].isspace():
            del signs[-1]
        plain = [sign[-1:].strip("\n") if sign.startswith("\\") else sign for sign in signs]
        found[name] = "".join([*map(_unquoted, _QUOTES.findall(quoted)), *plain])
    return found


def _unquoted(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    return _ESCAPE.sub(lambda escaped: escaped[1].strip("\n"), part[1:-1])


def _text(path: str) -> str:
    """Raises OSError, for what is no regular file too: opening a FIFO would wait for its other end."""
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no file")
        return file.read(_MOST_BYTES).decode("utf-8", "replace")
