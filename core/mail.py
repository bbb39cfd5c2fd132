"""The messages that the supervisor handles, one by one: wishes from outside, and news from its own tasks."""

from __future__ import annotations

from asyncio import Future
from dataclasses import dataclass

from core.detect import Probe
from core.errors import CoreError
from core.look import Look
from core.process import Managed
from core.spawn import Plan
from core.state import Exit, Status


@dataclass(frozen=True, slots=True)
class Start:
    """A wish for up. `by_user` tries at once, even if the same start has just failed."""

    done: Future[Status]
    by_user: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """A wish for down."""

    done: Future[Status]


@dataclass(frozen=True, slots=True)
class Close:
    """The end of supervision; the managed Ollama is stopped, or left for a later sidecar to adopt."""

    stop_ollama: bool


@dataclass(frozen=True, slots=True)
class UpAlready:
    """A start found the managed Ollama answering, or gone meanwhile."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing stands against a start."""

    look: Look
    plan: Plan


@dataclass(frozen=True, slots=True)
class Refused:
    """Something stands against a start; no process was made."""

    look: Look
    error: CoreError


@dataclass(frozen=True, slots=True)
class Spawned:
    """The shim runs and has spawned Ollama."""

    managed: Managed
    ready_timeout: float


@dataclass(frozen=True, slots=True)
class NotSpawned:
    """The shim or Ollama could not be executed."""

    error: CoreError


@dataclass(frozen=True, slots=True)
class Ready:
    """Our Ollama answers on our port."""

    managed: Managed
    probe: Probe


@dataclass(frozen=True, slots=True)
class NotReady:
    """Our Ollama lives, but did not answer in time."""

    managed: Managed
    error: CoreError


@dataclass(frozen=True, slots=True)
class Ended:
    """Our Ollama and its tree are gone. `error` words it as a failure, for the case that it is one."""

    managed: Managed
    exit: Exit
    error: CoreError


@dataclass(frozen=True, slots=True)
class Unstoppable:
    """Our Ollama outlived everything that was done to end it."""

    managed: Managed
    error: CoreError


@dataclass(frozen=True, slots=True)
class Seen:
    """A look that began in `epoch`; it says nothing about a later one."""

    look: Look
    epoch: int
    done: Future[None]


@dataclass(frozen=True, slots=True)
class Retry:
    """The delay after a crash, which happened in `epoch`, is over."""

    epoch: int


Message = (
    Start
    | Stop
    | Close
    | UpAlready
    | Cleared
    | Refused
    | Spawned
    | NotSpawned
    | Ready
    | NotReady
    | Ended
    | Unstoppable
    | Seen
    | Retry
)
