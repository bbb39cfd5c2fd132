"""Texts that fit the tray: on one line, printable, and cut where they are long; the status in a sentence."""

from __future__ import annotations

from core.supervision.state import State, Status

TOOLTIP_UNITS = 127
"""UTF-16 units that fit in `szTip` of Windows' NOTIFYICONDATAW; ctypes refuses a longer one."""
LABEL_UNITS = 120
OWNER_UNITS = 60
_MOST_NAMES = 10
_READ_PER_UNIT = 16
"""How many signs of a text are looked at for each unit that is shown: spaces and the like fall away."""


def shorten(text: str, most: int) -> str:
    """`text` on one line, without signs that cannot be printed, and of at most `most` UTF-16 units."""
    read = text[: _READ_PER_UNIT * most]
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in read).split())
    if units(line) <= most:
        return line
    # Half a surrogate pair at the cut is dropped.
    return line.encode("utf-16-le")[: 2 * (most - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def units(text: str) -> int:
    """The length of a printable text as Windows counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def headline(status: Status) -> str:
    """The status as one short sentence."""
    version = f"Ollama {status.version}" if status.version else "Ollama"
    match status.state:
        case State.UNKNOWN:
            return "Looking for Ollama…"
        case State.NOT_INSTALLED:
            return status.path_problem or "Ollama is not installed"
        case State.STOPPED:
            if status.meant_url:
                return f"Ollama is not running; ollamaUrl should be {shorten(status.meant_url, OWNER_UNITS)}"
            held = f"; the port is held by {shorten(status.owner, OWNER_UNITS)}" if status.owner else ""
            return f"Ollama is not running{held}"
        case State.STARTING:
            return f"Ollama is starting… {status.waits_for}" if status.waits_for else "Ollama is starting…"
        case State.STOPPING:
            return "Ollama is stopping…"
        case State.BACKOFF:
            return "Ollama crashed and will be started again"
        case State.FAILED:
            return f"Ollama is not running: {status.failure.message if status.failure else 'it failed'}"
        case State.RUNNING | State.EXTERNAL:
            return _up(status, version)


def _up(status: Status, version: str) -> str:
    if not status.is_running:
        return f"{version} has ended"
    if status.error:
        return f"{version} does not answer ({status.error})"
    whose = f"pid {status.pid}" if status.state is State.RUNNING else "not started here"
    if status.failure:
        return f"{version} is still running ({whose}): {status.failure.title}"
    loaded = f", {', '.join(status.loaded[:_MOST_NAMES])} loaded" if status.loaded else ""
    return f"{version} is running ({whose}){loaded}"
