"""Which of a program's last words tell why it ended: they come first, before what it printed around them.

Standard library only, because the shim imports it; and cheap, because all of Ollama's output passes.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Go's runtime (panic.go, signal_unix.go, signal_windows.go), and cobra, which is the command line of Ollama. What
# follows "unexpected fault address" is "fatal error: fault", which says less.
_CAUSE = (
    "(?:panic: |fatal error: (?!fault\n|fault$)|fatal: |unexpected fault address |Exception 0x|SIG[A-Z]{2,6}: |Error: )"
)
_BEGINNING = re.compile(_CAUSE)
_AT_START = re.compile(_CAUSE.encode())
_LATER = re.compile(b"\n" + _CAUSE.encode())
_SHOWN = 5


def cause_in(lines: bytes) -> bytes:
    """The last of these whole lines that tells why the program ends, without its newline; empty if none does."""
    start = 0
    for found in _LATER.finditer(lines):
        start = found.start() + 1
    if not start and not _AT_START.match(lines):
        return b""
    return lines[start : lines.index(b"\n", start)]


def in_short(lines: Sequence[str]) -> str:
    """The last of these lines that tells why the program ended, and then the last of the others; five in all."""
    cause = next((line for line in reversed(lines) if _BEGINNING.match(line)), None)
    if cause is None:
        return " | ".join(lines[-_SHOWN:])
    others = [line for line in lines if line != cause]
    return " | ".join([cause, *others[1 - _SHOWN :]])
