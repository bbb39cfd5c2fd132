"""Which of a program's last words tell why it ended: they come first, before what it printed around them.

Standard library only, because the shim imports it; and cheap, because all of Ollama's output passes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Go's runtime, and cobra, which is the command line of Ollama.
_BEGINNINGS = ("panic: ", "fatal error: ", "Error: ")
_AT_START = tuple(beginning.encode() for beginning in _BEGINNINGS)
_LATER = tuple(b"\n" + beginning for beginning in _AT_START)
_SHOWN = 5


def cause_in(lines: bytes) -> bytes:
    """The last of these whole lines that tells why the program ends, without its newline; empty if none does."""
    starts = [lines.rfind(beginning) + 1 for beginning in _LATER if beginning in lines]
    if not starts and not lines.startswith(_AT_START):
        return b""
    start = max(starts, default=0)
    return lines[start : lines.index(b"\n", start)]


def in_short(lines: Sequence[str]) -> str:
    """The last of these lines that tells why the program ended, and then the last of the others; five in all."""
    cause = next((line for line in reversed(lines) if line.startswith(_BEGINNINGS)), None)
    if cause is None:
        return " | ".join(lines[-_SHOWN:])
    others = [line for line in lines if line != cause]
    return " | ".join([cause, *others[1 - _SHOWN :]])
