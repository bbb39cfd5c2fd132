"""The messages that the supervisor handles, one by one: wishes from outside, and news from its own tasks."""

from __future__ import annotations

from asyncio import Future
from dataclasses import dataclass

from core.errors import CoreError
from core.ollama.client import Model
from core.ollama.probe import Probe
from core.owners.exit import Exit
from core.owners.process import Managed
from core.owners.spawn import Plan
from core.supervision.look import Look
from core.supervision.state import Status


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
class Adopted:
    """A run record that could not be read at first proves that Ollama to be ours. `done` is set once that counts."""

    managed: Managed
    done: Future[None]


@dataclass(frozen=True, slots=True)
class UpAlready:
    """A start found the managed Ollama answering, and its process alive after that."""

    managed: Managed


@dataclass(frozen=True, slots=True)
class GoneMeanwhile:
    """A start found that the managed Ollama had ended, and its end has been told."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing stood against a start in `epoch`."""

    look: Look
    plan: Plan
    epoch: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something stood against a start in `epoch`; no process was made. `look` is None if there was none."""

    look: Look | None
    error: CoreError
    epoch: int


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
class StillWaiting:
    """Our Ollama has not answered in the usual time, and gets more; `what` says what it is waited for."""

    managed: Managed
    what: str


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
class Listed:
    """The models that the Ollama of `epoch` has; None if it did not list them, and then `error` says why."""

    models: tuple[Model, ...] | None
    error: str | None
    epoch: int
    done: Future[None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The names of the models that the Ollama of `epoch` has in memory; None if it did not tell."""

    names: tuple[str, ...] | None
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
    | Adopted
    | UpAlready
    | GoneMeanwhile
    | Cleared
    | Refused
    | Spawned
    | NotSpawned
    | StillWaiting
    | Ready
    | NotReady
    | Ended
    | Unstoppable
    | Seen
    | Listed
    | Loaded
    | Retry
)
