"""What one Ollama costs and how it answers: the newest sample, its history, and its counts. Belongs to the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from core.metrics.history import History, Row
from core.metrics.lifecycle import Lifecycle
from core.metrics.log_count import LogCount
from core.metrics.readings import ReadingMeter
from core.metrics.tree import Runner, Tree, TreeMeter
from core.metrics.weights import WeightsIndex
from core.ollama.call import CallFailed
from core.ollama.models import LoadedModel
from core.owners.logs import Logs
from core.platform.usage import descendants
from core.supervision.shared_task import CreateTask
from core.supervision.state import UP, State, Status
from core.supervision.supervisor import Supervisor
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

_PROCESS_SECONDS = 1.0
_DISK_SECONDS = 1.0
_LOADED_SECONDS = 1.0
# Somebody else's log belongs to its user, and shows each question.
_EXTERNAL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RunnerNow:
    """One model runner and the model that it holds, None if that cannot be told. Else as `core.metrics.tree.Runner`."""

    pid: int
    model: str | None
    cpu: float | None
    memory: int
    threads: int


@dataclass(frozen=True, slots=True)
class Now:
    """One instance at one moment. What is not known is None, and never 0.

    `tree` is None if neither its processes nor what its owner measures are known, `loaded` if nobody has asked Ollama
    of late.
    """

    instance: str
    at: float
    status: Status
    tree: Tree | None
    runners: tuple[RunnerNow, ...]
    loaded: tuple[LoadedModel, ...] | None
    requests: int
    request_seconds: float
    restarts: int

    @property
    def vram(self) -> int | None:
        """Bytes on graphics processors, of all models together."""
        return None if self.loaded is None else sum(model.size_vram for model in self.loaded)

    @property
    def uptime(self) -> float | None:
        """Seconds since the start of its process."""
        return None if self.tree is None else max(0.0, self.at - self.tree.started_at)


class InstanceMeter:
    """Samples one instance when told to."""

    def __init__(self, instance: str, supervisor: Supervisor, logs: Logs, create_task: CreateTask) -> None:
        """`create_task` runs a coroutine in the background."""
        self.history = History()
        self.lifecycle = Lifecycle()
        self.log_count = LogCount(logs)
        self.began_at = time.time()
        self._instance = instance
        self._supervisor = supervisor
        self._meter = TreeMeter()
        self._readings = ReadingMeter(create_task)
        self._weights = WeightsIndex()
        self._pids: Callable[[], Sequence[int]] = tuple
        self._unnamed: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self._measuring = SingleFlight("usage", lambda: self._meter.measure(self._pids()))
        self._naming = SingleFlight("manifests", self._name)
        self._counting = SingleFlight("request log", self.log_count.catch_up)
        self._loaded: tuple[LoadedModel, ...] | None = None
        self._asked_at = float("-inf")
        self._counted = (0, 0.0)
        self.now = Now(instance, self.began_at, supervisor.current, None, (), None, 0, 0.0, 0)
        supervisor.tell(self.lifecycle.on_status)

    @property
    def current(self) -> Now:
        """The newest sample, with the status of this moment."""
        return replace(self.now, status=self._supervisor.current)

    async def sample(self, *, is_watched: bool) -> None:
        """Look once, within a second. Ollama itself is asked for its models only if somebody watches.

        What does not answer in time is not known, for this once. Does not raise.
        """
        async with asyncio.TaskGroup() as tasks:
            measuring = tasks.create_task(self._measured())
            tasks.create_task(self._count())
            if is_watched:
                tasks.create_task(self._ask())
            else:
                self._loaded = None
        tree = measuring.result()
        runners = await self._named(tree.runners) if tree and tree.runners else ()
        total, seconds = self.log_count.counts.total, self.log_count.counts.seconds
        status = self._supervisor.current
        loaded = self._loaded if status.state in UP else None
        restarts = self.lifecycle.restarts
        self.now = Now(self._instance, time.time(), status, tree, runners, loaded, total, seconds, restarts)
        self.history.add(
            Row(
                self.now.at,
                tree.cpu if tree else None,
                tree.memory if tree else None,
                tree.threads if tree else None,
                tree.open_files if tree else None,
                self.now.vram,
                total - self._counted[0],
                seconds - self._counted[1],
            )
        )
        self._counted = total, seconds

    async def _measured(self) -> Tree | None:
        status, managed = self._supervisor.current, self._supervisor.managed
        pid = status.pid
        if managed is not None:
            if told := await self._readings.newest(managed):
                return told
            self._pids = managed.usage
        elif pid is not None and status.state is State.EXTERNAL:
            self._pids = lambda: (pid, *descendants(pid))
        else:
            self._pids = tuple
        with suppress(TimeoutError, OSError):
            return await self._measuring.run(_PROCESS_SECONDS)
        return None

    async def _named(self, runners: tuple[Runner, ...]) -> tuple[RunnerNow, ...]:
        """The runners with their models."""
        loaded = self._supervisor.current.loaded if self._loaded is None else (model.name for model in self._loaded)
        names = tuple(sorted(loaded))
        self._unnamed = tuple(
            (runner.weights, names)
            for runner in runners
            if runner.weights and not self._weights.knows(runner.weights, names)
        )
        if self._unnamed:
            with suppress(TimeoutError, OSError):
                await self._naming.run(_DISK_SECONDS)
        found = []
        for runner in runners:
            model = None
            if runner.weights and self._weights.knows(runner.weights, names):
                model = self._weights.model_of(runner.weights, names)
            if model is None and len(names) == len(runners) == 1:
                model = names[0]
            found.append(RunnerNow(runner.pid, model, runner.cpu, runner.memory, runner.threads))
        return tuple(found)

    def _name(self) -> None:
        for weights, names in self._unnamed:
            self._weights.model_of(weights, names)

    async def _count(self) -> None:
        with suppress(TimeoutError, OSError):
            await self._counting.run(_DISK_SECONDS)

    async def _ask(self) -> None:
        """Which models are in memory. An Ollama that hangs is not asked, and what it said before is not kept."""
        status = self._supervisor.current
        if status.state not in UP or status.error is not None:
            self._loaded = None
            return
        if status.state is State.EXTERNAL and time.monotonic() - self._asked_at < _EXTERNAL_SECONDS:
            return
        self._asked_at = time.monotonic()
        try:
            self._loaded = (await (await self._supervisor.client()).loaded(_LOADED_SECONDS)).models
        except CallFailed:
            self._loaded = None
        except Exception:
            log.debug("the models in memory cannot be asked for", exc_info=True)
            self._loaded = None
