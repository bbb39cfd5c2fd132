"""What a notification says, and what its clicks do. For every system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class Urgency(IntEnum):
    """The levels of the Desktop Notifications Specification 1.2, with its numbers."""

    LOW = 0
    NORMAL = 1
    CRITICAL = 2
    """Stays until somebody takes it away."""


@dataclass(frozen=True, slots=True)
class Note:
    """One notification. It takes the place of the last with the same `topic`.

    `icon` is a theme's name for one, or an absolute path. `on_open` is called, on any thread, when a person clicks it,
    or its `button`, a short label; it must return at once and not raise.
    """

    title: str
    text: str
    topic: str = ""
    icon: str = ""
    urgency: Urgency = Urgency.NORMAL
    button: str | None = None
    on_open: Callable[[], None] | None = None
