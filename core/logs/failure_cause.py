"""Which of a program's last lines tells why it ended. That line is shown first, before the lines around it.

Standard library only, because the shim imports it; cheap, because all of Ollama's output passes through it.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Go's runtime (panic.go, signal_unix.go, signal_windows.go), and cobra, the library of Ollama's command line. What
# follows "unexpected fault address" is "fatal error: fault", which says less.
_CAUSE = (
    "(?:panic: |fatal error: (?!fault\n|fault$)|fatal: |unexpected fault address |Exception 0x|SIG[A-Z]{2,6}: |Error: )"
)
_BEGINNING = re.compile(_CAUSE)
_AT_START = re.compile(_CAUSE.encode())
_LATER = re.compile(b"\n" + _CAUSE.encode())
_SHOWN = 5


def cause_in(lines: bytes) -> bytes:
    """The last of these whole lines that names a cause, without its newline; empty if none does."""
    start = 0
    for found in _LATER.finditer(lines):
        start = found.start() + 1
    if not start and not _AT_START.match(lines):
        return b""
    return lines[start : lines.index(b"\n", start)]


def in_short(lines: Sequence[str]) -> str:
    """Five lines joined by " | ": the last one that names a cause, if any, then the last of the others."""
    cause = next((line for line in reversed(lines) if _BEGINNING.match(line)), None)
    if cause is None:
        return " | ".join(lines[-_SHOWN:])
    others = [line for line in lines if line != cause]
    return " | ".join([cause, *others[1 - _SHOWN :]])
