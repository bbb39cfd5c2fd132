"""What a service manager knows about our entry."""

from __future__ import annotations

from dataclasses import dataclass

from core.platform.service.mark import Origin


class Refused(OSError):
    """The service manager does not do what it was asked to; `str()` is sentences for a person, with the way out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry of our name: its path, or what the system calls it, and whose it is."""

    place: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class State:
    """Whether the entry starts us, and whether we run by it.

    `pid` is the sidecar's, None if it does not run or the manager does not tell. `says` is the state in the manager's
    own words.
    """

    is_enabled: bool
    is_running: bool
    pid: int | None
    says: str
    lingers: bool | None = None
    """Whether it also runs while its user is not logged in; None where the system has no such thing."""
