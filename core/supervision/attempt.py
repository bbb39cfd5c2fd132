"""One start of an Ollama, from the wish to its one result: observe, preflight, start the process, wait until ready.

The steps of a start:

1. `Supervisor.start` posts a `Start`; `Machine` moves to `starting` and begins an `Attempt`. All callers that wish for
   a start while one is under way wait for the same result.
2. The attempt observes the settings, the executable and the port. `preflight.plan` says what to run, or why nothing may
   be run; a start that failed less than 10 s ago, with the same settings, gets the same answer again, unless a service
   manager or an engine did not begin it.
3. The owner starts the process, `core.owners.process_owner` by a shim. `Progress` hands it over to the machine, which
   has it watched: from here on its end is a message, `Ended`, upon which the machine cancels the attempt.
4. `core.supervision.readiness` asks for `/api/version` until the process answers. `Attempted` carries the result.

While an Ollama is up, ours or not, a start begins by observing and the state stays what it is. If nobody is there any
more, the result is `Gone`, and the machine begins another attempt, from `starting`.

An attempt writes no state, and is a task of the supervisor's group. The machine cancels it when a stop comes, and then
nothing of it is left. Only while it starts a process is it interrupted instead: a process that comes is ended like any
other, and if none comes soon the owner takes back what it began. So "stopped" is said only once nothing of it lives; if
the owner cannot know that, the result is `Failed`, by a StopFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from core.errors import CoreError, SpawnFailed, StopFailed, Superseded
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.probe import Answer, Probe
from core.owners.protocol import Plan, Running
from core.settings.owner import PROCESS
from core.supervision import preflight
from core.supervision.observer import Observation
from core.supervision.preflight import FailureMemory
from core.supervision.shared_task import CreateTask, unexpected
from core.supervision.state import State, Status

# How long the owner in force may take to tell what runs, when it has just come into force.
_OWNER_SECONDS = 6.0
# How soon an owner that can be asked tells of what it has started.
_TOLD_SECONDS = 1.0
# How long an owner that starts a process may take, once a stop has come. Most starts are made in less.
_INTERRUPTED_SECONDS = 2.0
# If another process holds the output pipe of an Ollama that has died, its shim ends about 9 s later.
_END_SECONDS = 15.0
# A service manager that does not tell within that time hangs.
_OWNER_END_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Started:
    """Our Ollama answers on our port."""

    managed: Running
    probe: Probe


@dataclass(frozen=True, slots=True)
class AlreadyUp:
    """The managed Ollama answered, and its process was still alive afterwards."""

    probe: Probe


@dataclass(frozen=True, slots=True)
class Gone:
    """The Ollama that was up when the start was wished is gone.

    `observation` is the one that found nobody in place of somebody else's Ollama. None: ours has ended, and `Ended` is
    posted for it.
    """

    observation: Observation | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The start was not possible, and no process was made. `observation` is None if observing itself failed."""

    error: CoreError
    observation: Observation | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The process could not be made, or did not become ready in time: then it may be alive, and the machine ends it.

    By one of `errors.OUTCOME_UNKNOWN`: its owner cannot say whether there is one. By Superseded: a stop came, and
    nothing is left.
    """

    error: CoreError


Result = Started | AlreadyUp | Gone | Refused | Failed


@dataclass(frozen=True, slots=True)
class Progress:
    """A start has a process. Posted again, with `waits_for`, if it takes longer than `readyTimeout`."""

    attempt: Attempt
    managed: Running
    observation: Observation
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """The end of a start that was not cancelled."""

    attempt: Attempt
    result: Result


class Steps(Protocol):
    """What a start needs from outside: `tasks.Tasks`, or a model of it in tests."""

    memory: FailureMemory

    def post(self, message: Progress | Attempted, /) -> None:
        """Put a message into the supervisor's queue."""

    async def adopt_late(self) -> None:
        """Contract: `tasks.Tasks.adopt_late`."""

    async def owner_looked(self) -> None:
        """Contract: `tasks.Tasks.owner_looked`."""

    async def observe(self, managed_url: str | None) -> Observation:
        """Contract: `observer.Observer.observe`."""

    def plan(self, observation: Observation, before: Status) -> Plan:
        """Contract: `preflight.plan`."""

    async def start_process(self, plan: Plan) -> Running:
        """Contract: `core.owners.protocol.Owner.start`."""

    async def ready(self, managed: Running, timeout: float, on_overtime: Callable[[str], None]) -> Probe:
        """Contract: `readiness.Readiness.reached`."""

    async def is_alive(self, managed: Running) -> bool:
        """Contract: `core.owners.protocol.Running.lives`."""


class Attempt:
    """One start. `before` is the status in which it was wished, `managed` our Ollama if that is up already.

    `epoch` is the one in which its observation begins; `observation` is None until that has been made. `has_process`
    says that a process of it exists or is about to.
    """

    def __init__(self, steps: Steps, before: Status, managed: Running | None, epoch: int) -> None:
        self.before = before
        self.epoch = epoch
        self.observation: Observation | None = None
        self.has_process = False
        self.would_fail_again = False
        """Whether a failure of it says something about the next start. What a service manager or an engine has against
        one may be mended at any moment, and so is asked anew."""
        self._steps = steps
        self._managed = managed
        self._task: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[Running] | None = None

    def begin(self, create_task: CreateTask) -> None:
        """Run in the background. Posts `Progress`, and `Attempted` at the end."""
        self._task = create_task(self._run())

    def cancel(self) -> None:
        """Give up; nothing more is posted. A process that is just being started is ended in the background."""
        if self._task:
            self._task.cancel()

    def interrupt(self) -> None:
        """Have the owner that starts a process take that back, unless it has one soon.

        `Progress` or `Attempted` follows.
        """
        if self._starting:
            asyncio.get_running_loop().call_later(_INTERRUPTED_SECONDS, self._starting.cancel)

    async def _run(self) -> None:
        result: Result
        try:
            result = await (self._check_managed(self._managed) if self._managed else self._start())
        except Exception as fault:
            error = fault if isinstance(fault, CoreError) else unexpected(fault, SpawnFailed)
            result = Failed(error) if self.has_process else Refused(error, self.observation)
        self._steps.post(Attempted(self, result))

    async def _start(self) -> Result:
        """Start an Ollama while none of ours is there. Raises the CoreError that says why it failed."""
        # If what runs turns out to be ours, the machine cancels this attempt and begins another one.
        with suppress(TimeoutError):
            async with asyncio.timeout(_OWNER_SECONDS):
                await self._steps.owner_looked()
        if self.before.state is State.EXTERNAL:
            await self._steps.adopt_late()
        observation = self.observation = await self._steps.observe(None)
        if observation.probe.answer is Answer.OLLAMA and observation.setup.owner != PROCESS:
            # It may have been started by its owner a moment ago. Then that tells of it, and this attempt is cancelled.
            await asyncio.sleep(_TOLD_SECONDS)
        plan = self._steps.plan(observation, self.before)
        if known := self._steps.memory.recall(observation):
            return Refused(known, observation)
        if self.before.state is State.EXTERNAL:
            return Gone(observation)
        self.has_process = True
        self.would_fail_again = plan.owner == PROCESS
        self._starting = asyncio.create_task(self._steps.start_process(plan))
        try:
            managed = await self._starting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return Failed(Superseded("The start was interrupted by a stop."))
        self.would_fail_again = True
        self._steps.post(Progress(self, managed, observation))
        timeout = observation.setup.settings.sidecar.ready_timeout
        probe = await self._steps.ready(
            managed, timeout, lambda waits_for: self._steps.post(Progress(self, managed, observation, waits_for))
        )
        return Started(managed, probe)

    async def _check_managed(self, managed: Running) -> Result:
        """Check whether the managed Ollama is up and answers."""
        observation = self.observation = await self._steps.observe(managed.url)
        probe = observation.probe
        # A dropped connection: the process is ending while its port is still open.
        is_dropped = probe.answer is Answer.SOMETHING_ELSE and probe.error == NOT_REACHABLE
        # After an answer the process may have died, or the answer may have come from the port's next holder.
        is_alive = await self._steps.is_alive(managed)
        if managed.is_lasting and is_alive and (probe.answer is Answer.NOBODY or is_dropped):
            # Its owner may have started it a moment ago. If it ends instead, the machine cancels this attempt.
            timeout = observation.setup.settings.sidecar.ready_timeout
            return AlreadyUp(await self._steps.ready(managed, timeout, lambda waits_for: None))
        if probe.answer is Answer.NOBODY or is_dropped or not is_alive:
            why = None
            try:
                if await managed.gone_within(_OWNER_END_SECONDS if managed.is_lasting else _END_SECONDS):
                    return Gone(None)
            except StopFailed as failed:
                why = failed
            return Refused(preflight.still_ending(managed, why), observation)
        if error := preflight.why_not_managed(observation, managed):
            return Refused(error, observation)
        return AlreadyUp(probe)
