"""The one state machine: states, legal moves, and the frozen `Status` that everyone else sees. Pure.

From state to state, each legal move and what makes it. `MOVES` holds the same for `check_move`; any other is a bug.

    unknown        running          the first observation: an Ollama that an earlier sidecar left is adopted
                   external         the first observation: somebody else's Ollama answers
                   stopped          the first observation: nobody answers
                   not_installed    the first observation: nobody answers, and there is no executable
    not_installed  starting         a start was wished: its observation may find an executable
                   stopped          an observation found an executable
                   external         an observation found somebody else's Ollama
                   running          its owner has started it without us
    stopped        starting         a start was wished
                   not_installed    an observation found no executable any more
                   external         an observation found somebody else's Ollama
                   running          its owner has started it without us
    external       running          its run record proves it to be ours, late, or its owner that the settings name
                   stopped          it is gone
                   not_installed    it is gone, and there is no executable
    starting       running          our Ollama answers on our port
                   stopping         a stop interrupts it, or it does not answer in time
                   stopped          a stop interrupts it before there is a process, or it is refused
                   not_installed    it is refused: there is no executable
                   external         it is refused: somebody else's Ollama is there
                   backoff          a restart after a crash crashed too, or its owner starts it again
                   failed           the process could not be made or ended early, or what had failed before is refused
    running        stopping         a stop was wished
                   backoff          it crashed, and will be started again after a delay, by us or by its owner
                   failed           it crashed, and will not be started again
                   stopped          it ended by itself after a stop that had failed, or its owner was told to stop it
                   external         the settings name another owner, and it was let go
    stopping       stopped          the whole tree is gone
                   failed           the whole tree of one that did not answer in time is gone
                   running          it outlived everything that was done to end it
    backoff        starting         the delay is over, or a start was wished
                   stopped          a stop was wished
                   external         an observation found somebody else's Ollama
                   running          its owner has started it again
                   failed           its owner has given up on it
    failed         starting         a start was wished
                   stopped          a stop was wished
                   external         an observation found somebody else's Ollama
                   running          its owner has started it without us

A start is `starting` from its first moment, except while an Ollama is up, ours or not. Then it observes first, and the
state stays. Only if nobody is there any more does the state change to what that means, and then to `starting` at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from core.errors import CoreError
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.models import Model
from core.owners.exit import Exit
from core.owners.protocol import UNTOLD, Condition
from core.settings.owner import PROCESS


class State(StrEnum):
    """What is. `UNKNOWN`: not observed yet, which is not `STOPPED`. `EXTERNAL`: an Ollama is up that is not ours."""

    UNKNOWN = "unknown"
    NOT_INSTALLED = "not_installed"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    EXTERNAL = "external"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"


class Wish(StrEnum):
    """What the user wants."""

    UP = "up"
    DOWN = "down"


RESTING = frozenset({State.UNKNOWN, State.NOT_INSTALLED, State.STOPPED, State.EXTERNAL, State.BACKOFF, State.FAILED})
"""States in which no process of ours lives, nor is one about to."""

UP = frozenset({State.RUNNING, State.EXTERNAL})
"""States in which an Ollama is there, answering or not."""

TRANSIENT = frozenset({State.STARTING, State.STOPPING})
"""States that end by themselves, by an event. Observations do not change them."""

_FOUND = frozenset({State.NOT_INSTALLED, State.STOPPED, State.EXTERNAL})

MOVES: dict[State, frozenset[State]] = {
    State.UNKNOWN: _FOUND | {State.RUNNING},
    State.NOT_INSTALLED: frozenset({State.STARTING, State.STOPPED, State.EXTERNAL, State.RUNNING}),
    State.STOPPED: frozenset({State.STARTING, State.NOT_INSTALLED, State.EXTERNAL, State.RUNNING}),
    State.EXTERNAL: frozenset({State.RUNNING, State.STOPPED, State.NOT_INSTALLED}),
    State.STARTING: _FOUND | {State.RUNNING, State.STOPPING, State.BACKOFF, State.FAILED},
    State.RUNNING: frozenset({State.STOPPING, State.STOPPED, State.BACKOFF, State.FAILED, State.EXTERNAL}),
    State.STOPPING: frozenset({State.STOPPED, State.FAILED, State.RUNNING}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED, State.EXTERNAL, State.RUNNING, State.FAILED}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED, State.EXTERNAL, State.RUNNING}),
}
"""Every legal move, as told at the top of this module."""


def check_move(old: State, new: State) -> None:
    """Raise RuntimeError for a move that is not in `MOVES`; staying is always legal."""
    if new is not old and new not in MOVES[old]:
        raise RuntimeError(f"illegal move {old} → {new}")


@dataclass(frozen=True, slots=True)
class ModelsNews:
    """The installed models, as last listed. `error` says why that list may be out of date, None if it is fresh.

    While no Ollama is up, `models` is empty and `error` says why.
    """

    models: tuple[Model, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """A consistent snapshot of one Ollama.

    `error` is the failure of the last probe, in the words that the Aura app knows (None while Ollama answers), and
    `cause` says more about it. `failure` is why the last wish was not fulfilled. `seen_at` is when a probe last had a
    result, `since` when the state was entered, both in seconds on the monotonic clock; a status that differs in
    `seen_at` alone is equal. `pid` is our child or, if `EXTERNAL`, the listener where it can be read. `url` is where
    Ollama is or would be, `wanted_url` where the settings want it, and `meant_url` the address that was probably meant
    if none answers there.

    `owner` says whose the port is if it is not ours, `by_hand` how to stop it by hand, and `offer` what `owner` in the
    settings would have to be for us to control it, None if nothing would do. `is_startable` is False where the settings
    want it at an address that this machine can start none for. `controlled_by` is the text of the owner
    that runs what is managed or, if nothing is, that a start would use; `owner_problem` says why that one cannot be
    asked, `owner_unheard` that it has not told yet what it runs, and `condition` what it tells of an Ollama that runs.

    `models` and `loaded` are as last listed; `models_error` says why `models` could not be listed since. `install_path`
    is the executable that runs or that a start would run; `path_problem` says why the configured one cannot be used.
    `waits_for` says what a start that takes long waits for, and `stuck` that it answers and generates nothing, None if
    that is not known.
    """

    state: State = State.UNKNOWN
    wanted: Wish = Wish.DOWN
    url: str = ""
    pid: int | None = None
    owner: str | None = None
    by_hand: str | None = None
    offer: str | None = None
    is_startable: bool = True
    controlled_by: str = PROCESS
    owner_problem: str | None = None
    owner_unheard: bool = False
    condition: Condition = UNTOLD
    version: str | None = None
    models: tuple[Model, ...] = ()
    models_error: str | None = None
    loaded: tuple[str, ...] = ()
    error: str | None = None
    cause: str | None = None
    failure: CoreError | None = None
    waits_for: str | None = None
    stuck: str | None = None
    install_path: Path | None = None
    path_problem: str | None = None
    settings_problem: str | None = None
    wanted_url: str | None = None
    meant_url: str | None = None
    adopted: bool = False
    restarts: int = 0
    last_exit: Exit | None = None
    since: float = 0.0
    seen_at: float = field(default=0.0, compare=False)

    @property
    def may_be_owners(self) -> bool:
        """Whether the Ollama that is up may be that of the owner in force, which cannot tell now; else it is not."""
        is_unknown = self.owner_unheard or self.owner_problem is not None
        return self.state is State.EXTERNAL and is_unknown and self.offer is None

    @property
    def is_managed(self) -> bool:
        """Whether a process of ours lives, or a start is about to make one."""
        return self.state not in RESTING

    @property
    def is_running(self) -> bool:
        """Whether an Ollama, ours or not, is up. One that hangs counts as up; `error` says that it does not answer.

        One that refuses connections does not count, even if its end has not been reported yet.
        """
        return self.state in UP and self.error != NOT_REACHABLE
