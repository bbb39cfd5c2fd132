"""What an owner is: a way in which an Ollama is run and controlled. `process_owner` is the first and an example.

To add one (FreeBSD's rc.d, say):

1. Write a module here with a class that does what `Owner` says and one that does what `Running` says. Each method's
   contract is below; nothing else of an owner is asked for. Take what the user named (a unit, a label, a container) in
   the constructor. Ask the system in a thread or a child process, with a deadline: every coroutine here runs on the
   supervisor's loop.
2. If no shim writes its lines, copy them into the instance's folder in `attend`, with `copied.LogCopy`.
3. Add the form of its text to `core.settings.owner`, and its module, with `make`, to `kinds`.
4. Hold it to the same tests as `process_owner`: tests/core/owners/test_owner.py asks them of every owner in `OWNERS`.
5. For a system that `core.platform` does not know, such as FreeBSD, write its module there first: `posix` needs of it
   what `linux` and `darwin` have.

An owner controls only what it has started, what is certainly its own, or what the user named. It knows nothing of
wishes and states: `core.supervision` decides when to start and stop, and what an end means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import StopFailed
from core.owners.exit import Exit
from core.owners.logs import Logs
from core.settings.owner import PROCESS
from core.settings.paths import DEFAULT_INSTANCE


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to start one Ollama. `grace` is in seconds, `env` what is added to our own environment.

    `owner` is the text of its owner in the settings. `executable` and `env` are for the owner `process`: what others
    control has a program and variables of its own.
    """

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
    owner: str = PROCESS


@dataclass(slots=True)
class Terms:
    """What the settings say about an Ollama that runs already.

    Seconds until force is used, the log's limits, and where it is wanted. Whoever hands them out keeps them as the
    settings are, so read a value when it is needed.
    """

    grace: float
    caps: Mapping[str, int]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an owner measured of an Ollama whose processes cannot be seen from here. None: not known.

    `started_at` is Unix time by the owner's clock, and names the run. `cpu_seconds` is what that run has used so far,
    `memory` its bytes without what the system only caches of files.
    """

    started_at: float
    cpu_seconds: float | None
    memory: int | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class Condition:
    """What an owner itself tells of an Ollama that runs. None: it does not tell.

    `health` is what its own check found last: `starting`, `healthy` or `unhealthy`; `problem` says why it is not
    healthy. `restarts` is how often the owner has started it again by itself since it was last started on purpose.
    """

    health: str | None = None
    problem: str | None = None
    restarts: int | None = None


UNTOLD = Condition()


class Running(Protocol):
    """An Ollama that an owner has started or found. Belongs to the loop."""

    @property
    def instance(self) -> str:
        """The id of its instance."""

    @property
    def owner(self) -> str:
        """The text of its owner in the settings, such as `process`."""

    @property
    def is_lasting(self) -> bool:
        """Whether it goes on when this program ends, as a service is expected to. Then no Quit of ours stops it.

        It is let go at once if the settings name another owner.
        """

    @property
    def url(self) -> str:
        """Where it was told to listen; the settings may say something else by now."""

    @property
    def pid(self) -> int:
        """The pid of `ollama serve` itself."""

    @property
    def logs(self) -> Logs:
        """Its output, after that of earlier starts of its instance."""

    @property
    def log(self) -> str | None:
        """The path of the file in which its output begins, None if its output is in no file."""

    def how_to_move(self, url: str) -> str:
        """What makes it listen at `url`, which the settings want, in words for a person."""

    async def lives(self) -> bool:
        """Whether `ollama serve` itself lives. A process that may not be read at present counts as alive."""

    async def died(self) -> None:
        """Return once `ollama serve` itself has ended, where that is seen without its owner's word; else never."""

    async def ended(self, on_unkillable: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Return once no process of it is left, however it ended. Let one task await this, once.

        `on_unkillable` is called with the processes that outlive `ollama serve` and cannot be ended at present, once
        for each set of them. An end is an event: this returns at once, and waiting costs no wake-ups.
        """

    async def stop(self) -> None:
        """End it: ask, wait for the grace period, then use force. Needs a task that awaits `ended`.

        Returns once no process of it is left. Raises StopFailed if that cannot be reached; then it still runs, and
        `ended` returns when it does end.
        """

    async def gone_within(self, timeout: float) -> bool:
        """Wait for `ended` to return, which another task awaits; False if it does not in `timeout` seconds.

        Raises StopFailed, early, if processes of it are alive although they were killed.
        """

    def owns(self, pid: int) -> bool:
        """Whether that process is this Ollama or descends from it. Blocks for some ms: call it in a thread."""

    def usage(self) -> Sequence[int]:
        """The pids of this Ollama and its descendants; none once it has ended. Blocks: call it in a thread.

        For measuring what they use. Nothing may be signalled by a pid alone.
        """

    async def reading(self) -> Reading | None:
        """What its owner has just measured, if its processes are on another kernel and `usage` has none of them.

        None where `usage` has them, and where nothing is known. Takes some seconds at most, and raises nothing.
        """

    def let_go(self) -> None:
        """Leave it running, for the `find` of a later sidecar. This object is not used afterwards."""


class News(Protocol):
    """Who is told what an owner does without us. Belongs to the loop."""

    async def found(self, running: Running) -> None:
        """An Ollama of the instance runs, and we did not start it: somebody else did, or its owner after a crash.

        Returns once it is taken over, or is not because another one is managed. The next run of the service that is
        managed waits for the end of this one.
        """

    def gave_up(self, why: str | None) -> None:
        """It is not started again after an end with `Sequel.RESTARTED`: `why`, None if somebody had it stopped."""

    def condition(self, condition: Condition) -> None:
        """What the owner tells of its Ollama, when that has changed; an empty one if it does not run."""

    def troubled(self, why: str | None) -> None:
        """The owner cannot be asked at present: `why` is a sentence. None: it can."""

    def looked(self, *, is_known: bool) -> None:
        """The owner has looked, and has told what runs or, unless `is_known`, why that is not known.

        A wish waits for the first time.
        """


class Owner(Protocol):
    """One way to run Ollamas, for one data folder. Belongs to the loop."""

    async def find(self, grace: float) -> Sequence[Running]:
        """The running Ollamas that are certainly this owner's: left by an earlier sidecar, or named by the user.

        `grace` is how many seconds their `stop` waits before it uses force. Call it once, before the first start.
        Signals nothing. One that cannot be identified at present is left out and left alone. Logs its failures, and
        raises nothing.
        """

    async def find_late(self, instance: str) -> Sequence[Running]:
        """Those of that instance that `find` could not identify and that can be identified now. Raises nothing.

        Call it only while no Ollama of that instance is managed. Almost free if `find` could identify all.
        """

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        """Do what this owner does as long as it is in force for an instance. Cancelled at the end; it may return early.

        Tells the `news`, `looked` as early as possible, and copies what that Ollama prints into the instance's folder
        if nobody else does. Raises nothing.
        """

    async def call_off(self, instance: str) -> None:
        """Have the owner not start that Ollama again by itself, after an end with `Sequel.RESTARTED`.

        Raises StopFailed.
        """

    async def check(self, plan: Plan) -> None:
        """Raise the CoreError that says why this owner cannot start that now, and what to do. Changes nothing.

        `core.supervision.preflight` has already checked port, address and executable, as for every owner.
        """

    async def start(self, plan: Plan) -> Running:
        """Check and start it. Returns once its process lives, whether or not it answers yet; of a service also one that
        runs already, and of which `attend` has not told yet.

        Raises SpawnFailed, with nothing left running; StartUnanswered, if it may run or come up yet. If it is
        cancelled, it gives up at once and takes back what it began: nothing is left once it ends, or it raises
        StopFailed.
        """

    def logs(self, instance: str) -> Logs:
        """The lines of an instance, whether it runs or not. Raises ConfigError if none can have that id."""
