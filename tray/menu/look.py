"""Which image the icon shows."""

from __future__ import annotations

from enum import StrEnum

from core.supervision.state import State, Status


class Look(StrEnum):
    """Which image. Each has a shape or a sign of its own, so that nothing depends on seeing colours."""

    UP = "up"
    """Our Ollama answers: a green disc with a tick."""
    EXTERNAL = "external"
    """Somebody else's answers: the green disc with links of a chain."""
    DOWN = "down"
    """None runs, and nothing is wrong: a red square on its point, with a bar."""
    FAILED = "failed"
    """None runs, and it takes a person to change that: a red square with a cross."""
    BUSY = "busy"
    """Something is under way: an amber disc with three dots."""
    TROUBLE = "trouble"
    """One runs but hangs, or answers and generates nothing: an amber triangle."""


def look_of(status: Status) -> Look:
    """The image for this status."""
    if status.state in {State.UNKNOWN, State.STARTING, State.STOPPING, State.BACKOFF}:
        return Look.BUSY
    if status.state in {State.FAILED, State.NOT_INSTALLED}:
        return Look.FAILED
    if not status.is_running:
        return Look.DOWN
    if status.error or status.stuck:
        return Look.TROUBLE
    return Look.EXTERNAL if status.state is State.EXTERNAL else Look.UP
