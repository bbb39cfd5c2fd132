"""The messages that the supervisor handles, one by one: wishes from outside, and results of its own tasks.

Those of a start, `Progress` and `Attempted`, are in `attempt`.
"""

from __future__ import annotations

from asyncio import Future
from dataclasses import dataclass

from core.errors import CoreError
from core.ollama.models import Model
from core.owners.exit import Exit
from core.owners.protocol import Condition, Running
from core.supervision.attempt import Attempted, Progress
from core.supervision.observer import Observation
from core.supervision.state import Status


@dataclass(frozen=True, slots=True)
class Start:
    """A wish for up. With `by_user` it is tried even if the same start has just failed.

    With `is_restart` a managed Ollama is stopped first, and a start under way begins anew.
    """

    done: Future[Status]
    by_user: bool
    is_restart: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """A wish for down."""

    done: Future[Status]


@dataclass(frozen=True, slots=True)
class Close:
    """The end of supervision. The managed Ollama is stopped, or left for a later sidecar to adopt."""

    stop_ollama: bool


@dataclass(frozen=True, slots=True)
class Adopted:
    """That Ollama is ours: it could not be identified at first, or its owner has started it without us.

    `done` is set once it is adopted, or is not, because another one is managed. The next run of a managed service is
    adopted once the end of this one is known.
    """

    managed: Running
    done: Future[None]

    def resolve(self) -> None:
        """Set `done`, unless the task that waits for it has been cancelled."""
        if not self.done.done():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class Ended:
    """Our Ollama and its tree are gone. `error` is the error of a start that fails by this end."""

    managed: Running
    exit: Exit
    error: CoreError


@dataclass(frozen=True, slots=True)
class Died:
    """Our Ollama itself has ended, and its owner has not told yet what follows."""

    managed: Running


@dataclass(frozen=True, slots=True)
class Unstoppable:
    """Our Ollama, or a part of its tree, cannot be ended. It is still watched."""

    managed: Running
    error: CoreError


@dataclass(frozen=True, slots=True)
class Troubled:
    """Why that owner cannot be asked at present; None if it can."""

    owner: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What that owner tells of its Ollama that runs."""

    owner: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Looked:
    """That owner knows what runs, and has told it."""

    owner: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """That owner does not start its Ollama again after all: `why`, None if somebody had it stopped."""

    owner: str
    why: str | None


@dataclass(frozen=True, slots=True)
class CalledOff:
    """The owner does not start its Ollama again by itself; `error` says why it still does. `wish` is the stop."""

    wish: Stop
    error: CoreError | None


@dataclass(frozen=True, slots=True)
class InstalledModels:
    """The models that an Ollama has. None if it did not list them; then `error` says why."""

    models: tuple[Model, ...] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """The names of the models that an Ollama has in memory. None if it did not list them."""

    names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a task has found out about the Ollama of `epoch`. It says nothing about a later one.

    `done` is set once it has been applied to the status.
    """

    answer: Observation | InstalledModels | LoadedModels
    epoch: int
    done: Future[None]

    def resolve(self) -> None:
        """Set `done`, unless the task that waits for it has been cancelled."""
        if not self.done.done():
            self.done.set_result(None)


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether the Ollama with that pid generates anything: `stuck` says why not, None if it does or nobody knows."""

    pid: int
    stuck: str | None


@dataclass(frozen=True, slots=True)
class Retry:
    """The delay after a crash, which happened in `epoch`, is over."""

    epoch: int


Message = (
    Start
    | Stop
    | Close
    | Adopted
    | Progress
    | Attempted
    | Ended
    | Died
    | Unstoppable
    | GaveUp
    | Troubled
    | Told
    | Looked
    | CalledOff
    | Found
    | Judged
    | Retry
)
