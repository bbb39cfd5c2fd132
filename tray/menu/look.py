"""Which image the icon shows."""

from __future__ import annotations

from enum import StrEnum

from core.supervision.state import State, Status


class Look(StrEnum):
    """Which image: an Ollama answers, none does, something is under way, or one hangs."""

    UP = "up"
    DOWN = "down"
    BUSY = "busy"
    TROUBLE = "trouble"


def look_of(status: Status) -> Look:
    """The image for this status."""
    if status.state in {State.UNKNOWN, State.STARTING, State.STOPPING, State.BACKOFF}:
        return Look.BUSY
    if not status.is_running:
        return Look.DOWN
    return Look.TROUBLE if status.error else Look.UP
