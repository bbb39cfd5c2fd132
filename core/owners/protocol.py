"""What an owner is: a way in which an Ollama is run and controlled. `process_owner` is the first and an example.

To add one (systemd, launchd, a container, FreeBSD's rc.d):

1. Write a module here with a class that does what `Owner` says and one that does what `Running` says. Each method's
   contract is below; nothing else of an owner is asked for. Take what the user named (a unit, a label, a container) in
   the constructor. Ask the system in a thread or a child process, with a deadline: every coroutine here runs on the
   supervisor's loop.
2. Have `logs.logs_of` give its lines, if they are not written by a shim.
3. Have `core.supervision.tasks`, which holds the owner, make it where the settings name it (`core.settings.schema`).
4. Hold it to the same tests as `process_owner`: tests/core/owners/test_owner.py asks them of every owner in `OWNERS`.

An owner controls only what it has started, has found to be its own beyond doubt, or the user named. It knows nothing of
wishes and states: when to start and stop, and what an end means, is for `core.supervision` to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import StopFailed
from core.owners.exit import Exit
from core.owners.logs import Logs
from core.settings.paths import DEFAULT_INSTANCE


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to start one Ollama. `grace` is in seconds, `env` what is added to our own environment."""

    executable: Path
    url: str
    port: int
    env: Mapping[str, str]
    run_dir: Path
    logs: Path
    """A folder for this instance alone (`Paths.logs_of`)."""
    caps: Mapping[str, int]
    grace: float
    instance: str = DEFAULT_INSTANCE


class Running(Protocol):
    """An Ollama that an owner has started or found. Belongs to the loop."""

    @property
    def instance(self) -> str:
        """The id of the instance that it is."""

    @property
    def url(self) -> str:
        """Where it was told to listen; the settings may say something else by now."""

    @property
    def pid(self) -> int:
        """Of `ollama serve` itself."""

    @property
    def logs(self) -> Logs:
        """What it prints, after what earlier starts of its instance have printed."""

    async def ended(self, on_outlasted: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Return once nothing of it is left, however it came to its end. Let one task await this, once.

        `on_outlasted` hears of what outlives `ollama serve` and cannot be ended at present, once for each set of those.

        An end is an event: it comes at once, and waiting costs no wake-ups.
        """

    async def stop(self) -> None:
        """Have it end: ask, wait for the grace period, then use force. Needs a task that awaits `ended`.

        Returns once nothing of it is left. Raises StopFailed if that cannot be reached; it then still runs, and
        `ended` still tells of its end.
        """

    def owns(self, pid: int) -> bool:
        """Whether that process is this Ollama or descends from it. Blocks for some ms: call it in a thread."""

    def usage(self) -> Sequence[int]:
        """The pids of this Ollama and its descendants; none once it has ended. Blocks: call it in a thread.

        What they take of the machine is summed up from these. Pids are for looking: nothing may be signalled by one.
        """

    def let_go(self) -> None:
        """Leave it running, for the `find` of a later sidecar. Nothing more is asked of this object."""


class Owner(Protocol):
    """One way to run Ollamas, for one data folder. Belongs to the loop."""

    async def find(self, grace: float) -> Sequence[Running]:
        """What runs already and is beyond doubt this owner's: left by an earlier sidecar, or named by the user.

        `grace` is how many seconds their `stop` waits before it uses force.
        Call it once, before the first start. Nothing is signalled. What cannot be known at present is not among them,
        and is left as it is. Raises nothing that the supervisor would have to handle: it logs.
        """

    async def find_late(self, instance: str) -> Sequence[Running]:
        """What `find` could not know of that instance, if it can be known by now. Only while none of it is managed.

        Costs next to nothing where `find` knew all. Raises nothing.
        """

    async def check(self, plan: Plan) -> None:
        """Raise the CoreError that says why this owner cannot start that now, and what the user can do; change nothing.

        Port, address and executable have been looked at before by `core.supervision.preflight`, as for every owner.
        """

    async def start(self, plan: Plan) -> Running:
        """Check and start it. Returns once its process lives, which says nothing of whether it answers.

        Raises SpawnFailed, with nothing left running. If it is cancelled, nothing is left either.
        """

    def logs(self, instance: str) -> Logs:
        """The lines of an instance, whether it runs or not. Raises ConfigError if none can have that id."""
