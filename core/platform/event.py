"""What a shim's main thread can wake up for. Shared by the platforms."""

from __future__ import annotations

from enum import Enum


class Event(Enum):
    """The outcome of one `Tree.next_event` wait."""

    EXITED = "exited"
    STOP = "stop"
    TIMEOUT = "timeout"
