"""Why `Tree.next_event` returns, on every system."""

from __future__ import annotations

from enum import Enum


class Event(Enum):
    """The outcome of one `Tree.next_event` wait."""

    EXITED = "exited"
    STOP = "stop"
    TIMEOUT = "timeout"
