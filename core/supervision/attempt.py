"""One start of an Ollama, from the wish to its one result: observe, preflight, start the process, wait until ready.

How a start goes, hop by hop:

1. `Supervisor.start` posts a `Start`; `Machine` moves to `starting` and begins an `Attempt`. Whoever wishes for a start
   while one is under way waits for the same result.
2. The attempt observes the settings, the executable and the port. `preflight.plan` says what to run, or why nothing may
   be run; a start that failed less than 10 s ago, with the same settings, gets the same answer again.
3. `core.owners.process_owner` starts the shim, which starts Ollama. `Progress` hands the process over to the machine,
   which has it watched: from here on its end is a message of its own, `Ended`, upon which the attempt is cancelled.
4. `core.supervision.readiness` asks for `/api/version` until the process answers. `Attempted` brings the result.

While an Ollama is up, ours or not, a start begins by observing and the state stays what it is. If nobody is there any
more, the result is `Gone`, and the machine begins another attempt, from `starting`.

An attempt writes no state, and is a task of the supervisor's group. The machine cancels it when a stop comes, and then
nothing of it is left. Only while it starts a process is it waited for instead: that process is ended like any other, so
that "stopped" is said only once nothing of it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.errors import CoreError, SpawnFailed, StopFailed
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.probe import Answer, Probe
from core.owners.process import Managed
from core.owners.protocol import Plan
from core.supervision import preflight
from core.supervision.observer import Observation
from core.supervision.preflight import FailureMemory
from core.supervision.shared_task import CreateTask, unexpected
from core.supervision.state import State, Status

# An Ollama whose output something else holds on to needs about 9 s from its death to the end of its shim.
_END_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Started:
    """Our Ollama answers on our port."""

    managed: Managed
    probe: Probe


@dataclass(frozen=True, slots=True)
class AlreadyUp:
    """The managed Ollama answers, and its process was alive after that."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The Ollama that was up when the start was wished is there no more.

    `observation` found nobody where somebody else's had been. None: ours has ended, of which `Ended` tells.
    """

    observation: Observation | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The start was not possible, and no process was made. `observation` is None if observing itself failed."""

    error: CoreError
    observation: Observation | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Either there is no process, or one that lives and did not answer in time: the machine ends that one."""

    error: CoreError


Result = Started | AlreadyUp | Gone | Refused | Failed


@dataclass(frozen=True, slots=True)
class Progress:
    """A start has a process. If that takes longer than usual it is told once more, with what it waits for."""

    attempt: Attempt
    managed: Managed
    observation: Observation
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """The end of a start that was not cancelled."""

    attempt: Attempt
    result: Result


class Steps(Protocol):
    """What a start has done outside: `tasks.Tasks`, or a test's made-up outside."""

    memory: FailureMemory

    def post(self, message: Progress | Attempted, /) -> None:
        """Put a message into the supervisor's mailbox."""

    async def adopt_late(self) -> None:
        """Contract: `tasks.Tasks.adopt_late`."""

    async def observe(self, managed_url: str | None) -> Observation:
        """Contract: `observer.Observer.observe`."""

    def plan(self, observation: Observation, before: Status) -> Plan:
        """Contract: `preflight.plan`."""

    async def start_process(self, plan: Plan) -> Managed:
        """Contract: `core.owners.protocol.Owner.start`."""

    async def ready(self, managed: Managed, timeout: float, on_overtime: Callable[[str], None]) -> Probe:
        """Contract: `readiness.Readiness.reached`."""

    async def is_alive(self, managed: Managed) -> bool:
        """Whether the process of a managed Ollama is there now. One that may not be looked at counts as alive."""


class Attempt:
    """One start. `before` is the status in which it was wished, `managed` our Ollama if that is up already.

    `epoch` is the one in which its observation begins; `observation` is None until that has been made. `has_process`
    says that a process of it exists or is about to.
    """

    def __init__(self, steps: Steps, before: Status, managed: Managed | None, epoch: int) -> None:
        self.before = before
        self.epoch = epoch
        self.observation: Observation | None = None
        self.has_process = False
        self._steps = steps
        self._managed = managed
        self._task: asyncio.Task[None] | None = None

    def begin(self, create_task: CreateTask) -> None:
        """Run in the background. Posts `Progress`, and `Attempted` at the end."""
        self._task = create_task(self._run())

    def cancel(self) -> None:
        """Give up; nothing more is posted. A process that is being spawned is ended in the background, unwatched."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        result: Result
        try:
            result = await (self._check_managed(self._managed) if self._managed else self._start())
        except Exception as fault:
            error = fault if isinstance(fault, CoreError) else unexpected(fault, SpawnFailed)
            result = Failed(error) if self.has_process else Refused(error, self.observation)
        self._steps.post(Attempted(self, result))

    async def _start(self) -> Result:
        """Start one while none of ours is there. Raises the CoreError that says why it did not work out."""
        if self.before.state is State.EXTERNAL:
            # If it turns out to be ours, another attempt takes the place of this one.
            await self._steps.adopt_late()
        observation = self.observation = await self._steps.observe(None)
        plan = self._steps.plan(observation, self.before)
        if known := self._steps.memory.recall(observation):
            return Refused(known, observation)
        if self.before.state is State.EXTERNAL:
            return Gone(observation)
        self.has_process = True
        managed = await self._steps.start_process(plan)
        self._steps.post(Progress(self, managed, observation))
        timeout = observation.setup.settings.sidecar.ready_timeout
        probe = await self._steps.ready(
            managed, timeout, lambda waits_for: self._steps.post(Progress(self, managed, observation, waits_for))
        )
        return Started(managed, probe)

    async def _check_managed(self, managed: Managed) -> Result:
        """Find out whether the managed Ollama is as up as it is said to be."""
        observation = self.observation = await self._steps.observe(managed.record.url)
        probe = observation.probe
        # A connection that is dropped is one to a process that ends with its port still open.
        is_dropped = probe.answer is Answer.SOMETHING_ELSE and probe.error == NOT_REACHABLE
        # One that answered may have died since, or the answer may be that of its port's next holder.
        if probe.answer is Answer.NOBODY or is_dropped or not await self._steps.is_alive(managed):
            why = None
            try:
                if await managed.gone_within(_END_SECONDS):
                    return Gone(None)
            except StopFailed as failed:
                why = failed
            return Refused(preflight.still_ending(managed.record, why), observation)
        if error := preflight.why_not_managed(observation, managed.record):
            return Refused(error, observation)
        return AlreadyUp()
