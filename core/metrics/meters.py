"""Samples all instances and the graphics processors: each second while somebody looks, else each half minute.

Somebody looks who reads a stream with metrics, or has asked within the last minute. What a sample takes is a few
milliseconds of a core; between samples nothing is looked at. Ollama itself, and the graphics processors, which a look
may keep awake, are asked only while somebody looks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from core.events.history import EventHistory, EventType
from core.metrics.canary import Canary, CanaryReport
from core.metrics.gin import Request
from core.metrics.history import Row
from core.metrics.instance import InstanceMeter, Now
from core.metrics.requests import Latencies
from core.owners.logs import Logs
from core.platform.gpu import Gpu, GpuReader
from core.supervision.fleet import Fleet
from core.supervision.state import State
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

WATCHED_SECONDS = 1.0
IDLE_SECONDS = 30.0
LOOK_SECONDS = 60.0
"""For so long after somebody has asked it is sampled each second."""
_FRESH_SECONDS = 0.25
_GPU_SECONDS = 1.0
# Where a driver is asked through another program or a wildcard, that takes 20 ms of a core.
_GPU_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of one instance. Counts are since `began_at`, Unix time: the start of this sidecar.

    `latencies` is by route and class of status, `errors` has the last failed requests, oldest first; `gaps` is how
    often log lines were deleted before they could be counted, `pulled` the bytes that pulls have brought.
    """

    now: Now
    history: tuple[Row, ...]
    began_at: float
    latencies: Mapping[tuple[str, str], Latencies]
    errors: tuple[Request, ...]
    gaps: int
    starts: Latencies
    failed_starts: int
    crashes: int
    pulled: int
    canary: CanaryReport | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment, Unix time. `gpus` is empty also where no driver tells."""

    at: float
    gpus: tuple[Gpu, ...]
    reports: tuple[Report, ...]


class Meters:
    """The meters of all instances of a fleet. Belongs to the loop; `run` it once, as a task."""

    def __init__(
        self, fleet: Fleet, events: EventHistory, logs_of: Callable[[str], Logs], pulled: Callable[[str], int]
    ) -> None:
        """`logs_of` gives an instance's log, `pulled` the bytes that its pulls have brought."""
        self._fleet = fleet
        self._pulled = pulled
        self._events = events
        self._logs_of = logs_of
        self._meters: dict[str, InstanceMeter] = {}
        self._canaries: dict[str, tuple[Canary, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._reader = GpuReader()
        self._asking_gpus = SingleFlight("graphics processors", self._ask_gpus)
        self._has_gpus_open = False
        self._gpus_read_at = float("-inf")
        self._turn = asyncio.Lock()
        self._sampled_at = float("-inf")
        self._is_full = False
        """Whether the last sample has also what is asked for only while somebody looks."""
        self._asked_at = float("-inf")
        self._streams = 0
        self._on_sample: list[Callable[[], None]] = []
        self._begun = asyncio.Event()
        """Set when somebody looks, which ends a long pause."""

    async def run(self) -> None:
        """Sample for ever, and let the canaries look."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._sample_for_ever()

    async def _sample_for_ever(self) -> None:
        while True:
            try:
                async with self._turn:
                    await self._sample_if_due()
            except Exception:
                log.exception("a sample failed")
            if self.is_watched:
                await asyncio.sleep(WATCHED_SECONDS)
                continue
            self._begun.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._begun.wait()

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks."""
        return self._streams > 0 or time.monotonic() - self._asked_at < LOOK_SECONDS

    def on_sample(self, call: Callable[[], None]) -> None:
        """Have `call` called on the loop after each sample. It must return at once, and raise nothing."""
        self._on_sample.append(call)

    def newest(self, instance: str) -> Now | None:
        """The last sample of an instance, up to half a minute old, with its present status.

        None before the first one, and if there is no such instance. Does not make `is_watched` true.
        """
        meter = self._meters.get(instance)
        return meter.current if meter else None

    async def snapshot(self) -> Snapshot:
        """What is now, sampled within the last 250 ms, or for this call. That takes 1 s at most.

        Before the first observation of Ollama, which it waits for, there is nothing to tell.
        """
        self._note_caller()
        for instance in self._fleet:
            if self._fleet[instance].current.state is State.UNKNOWN:
                await self._fleet[instance].status()
        async with self._turn:
            await self._sample_if_due()
            return Snapshot(time.time(), self._gpus, tuple(self._report(*each) for each in self._meters.items()))

    @contextmanager
    def streamed(self) -> Iterator[None]:
        """Publish `metrics` events of all instances each second, until the block ends."""
        self._streams += 1
        self._begun.set()
        try:
            yield
        finally:
            self._streams -= 1

    def _note_caller(self) -> None:
        if not self.is_watched:
            self._begun.set()
        self._asked_at = time.monotonic()

    async def _sample_if_due(self) -> None:
        """Sample all, unless the last sample is from just now and knows as much."""
        is_enough = self._is_full or not self.is_watched
        if is_enough and time.monotonic() - self._sampled_at < _FRESH_SECONDS:
            return
        self._sampled_at = time.monotonic()
        self._follow_the_fleet()
        is_watched = self._is_full = self.is_watched
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_gpus(is_watched=is_watched))
            for meter in self._meters.values():
                tasks.create_task(meter.sample(is_watched=is_watched))
        for call in self._on_sample:
            call()
        if self._streams:
            for instance, meter in self._meters.items():
                self._events.publish(EventType.METRICS, instance, meter.now)

    def _follow_the_fleet(self) -> None:
        """Have a meter and a canary for each instance that there is now, and none for others."""
        for instance in set(self._meters) - set(self._fleet):
            del self._meters[instance]
            self._canaries.pop(instance)[1].cancel()
        for instance in self._fleet:
            if instance not in self._meters and self._tasks is not None:
                supervisor = self._fleet[instance]
                self._meters[instance] = InstanceMeter(
                    instance, supervisor, self._logs_of(instance), self._tasks.create_task
                )
                canary = Canary(supervisor, self._fleet.settings)
                self._canaries[instance] = canary, self._tasks.create_task(canary.run())

    async def _read_gpus(self, *, is_watched: bool) -> None:
        is_due = self._sampled_at - self._gpus_read_at >= _GPU_PAUSE_SECONDS if is_watched else self._has_gpus_open
        if not is_due:
            return
        self._gpus_read_at = self._sampled_at
        self._has_gpus_open = is_watched
        self._gpus = ()
        # A driver that hangs holds one thread, and tells nothing.
        with suppress(TimeoutError, OSError):
            self._gpus = await self._asking_gpus.run(_GPU_SECONDS)

    def _ask_gpus(self) -> tuple[Gpu, ...]:
        """What they do; if nobody looks any more, let go of their drivers."""
        if self._has_gpus_open:
            return self._reader.read()
        self._reader.close()
        return ()

    def _report(self, instance: str, meter: InstanceMeter) -> Report:
        counts, lifecycle = meter.log_count.counts, meter.lifecycle
        return Report(
            meter.current,
            meter.history.rows,
            meter.began_at,
            counts.snapshot(),
            tuple(counts.errors),
            meter.log_count.gaps,
            lifecycle.starts.copy(),
            lifecycle.failed_starts,
            lifecycle.crashes,
            self._pulled(instance),
            self._canaries[instance][0].report,
        )
