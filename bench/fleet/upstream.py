"""One Ollama: a queue, requests that it works on at a time, and a memory for models."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from bench.fleet.load import Request


@dataclass(frozen=True, slots=True)
class Size:
    """What one upstream can do.

    It works on `slots` requests at a time and holds `models` in memory; a model that is not there takes `load_seconds`,
    and one that is unused for `keep_seconds` goes. A request that finds `queue` others waiting is refused (Ollama's
    OLLAMA_NUM_PARALLEL, OLLAMA_MAX_LOADED_MODELS, OLLAMA_KEEP_ALIVE and OLLAMA_MAX_QUEUE).
    """

    slots: int = 1
    models: int = 1
    load_seconds: float = 0.0
    keep_seconds: float = math.inf
    queue: int = 512


@dataclass(slots=True)
class _Resident:
    since: float
    ready: float
    users: int = 0
    idle_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that a slot is given to: from `at`, worked on from `ready`, over at `end`."""

    request: Request
    at: float
    ready: float
    end: float
    has_loaded: bool


@dataclass(slots=True)
class Upstream:
    """Its state. `born` counts its starts, so that an end from before a failure can be told from one after it.

    `stays` are the spans, from and until, for which a model was in memory.
    """

    size: Size
    born: int = 0
    free: int = 0
    queue: deque[Request] = field(default_factory=deque)
    stays: list[tuple[float, float]] = field(default_factory=list)
    _memory: dict[int, _Resident] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.free = self.size.slots

    def accept(self, request: Request) -> bool:
        """Put it into the queue, unless that is full."""
        if len(self.queue) >= self.size.queue:
            return False
        self.queue.append(request)
        return True

    def begin(self, now: float) -> list[Begun]:
        """Give free slots to the first of the queue.

        In order: a request whose model finds no room, because all models there are in use, holds up those behind it, as
        it does in Ollama's scheduler.
        """
        begun: list[Begun] = []
        while self.free and self.queue:
            model = self.queue[0].model
            self._drop_unused(now)
            resident = self._memory.pop(model, None)
            has_loaded = resident is None
            if resident is None:
                if len(self._memory) >= self.size.models and not self._evict(now):
                    break
                resident = _Resident(since=now, ready=now + self.size.load_seconds)
            self._memory[model] = resident  # last in the order: most recently used
            resident.users += 1
            self.free -= 1
            request = self.queue.popleft()
            ready = max(now, resident.ready)
            begun.append(Begun(request, now, ready, ready + request.seconds, has_loaded))
        return begun

    def finish(self, model: int, now: float) -> None:
        """A request for that model is over, and its slot is free."""
        self.free += 1
        resident = self._memory[model]
        resident.users -= 1
        resident.idle_since = now

    def fail(self, now: float) -> None:
        """All is lost: the queue, what it works on, and its memory."""
        self.close(now)
        self._memory.clear()
        self.queue.clear()
        self.free = self.size.slots
        self.born += 1

    def close(self, now: float) -> None:
        """Count what is in memory now among the `stays`."""
        self._drop_unused(now)
        self.stays.extend((resident.since, now) for resident in self._memory.values())

    def _drop_unused(self, now: float) -> None:
        for model, resident in list(self._memory.items()):
            if not resident.users and resident.idle_since + self.size.keep_seconds <= now:
                self.stays.append((resident.since, resident.idle_since + self.size.keep_seconds))
                del self._memory[model]

    def _evict(self, now: float) -> bool:
        for model, resident in self._memory.items():
            if not resident.users:
                self.stays.append((resident.since, now))
                del self._memory[model]
                return True
        return False
