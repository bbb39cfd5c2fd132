"""The simulation itself: one heap of events, and what came of it."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.fleet.load import Load, Request
from bench.fleet.policies import Policy
from bench.fleet.upstream import Begun, Size, Upstream

WARM_SHARE = 0.2
"""This share of the requests, the first, only fills queues and memories, and is not measured."""


@dataclass(frozen=True, slots=True)
class Failures:
    """An upstream lives for `up_seconds` and is then down for `down_seconds`, both exponential, in the mean."""

    up_seconds: float
    down_seconds: float


@dataclass(slots=True)
class Figures:
    """What came of the measured requests, all that arrived after the warm-up.

    `waits` are seconds from the arrival until a request is worked on, with the load of its model, ascending. `lost`
    were in an upstream that failed, `refused` met a full queue or no upstream. `busy` is the share of the slots' time
    that was taken by requests and their loads, `busiest` that of the upstream where it is highest; `in_memory` is the
    mean number of models in the memory of one upstream.
    """

    waits: list[float] = field(default_factory=list)
    requests: int = 0
    loads: int = 0
    lost: int = 0
    refused: int = 0
    busy: float = 0.0
    busiest: float = 0.0
    in_memory: float = 0.0

    @property
    def mean_wait(self) -> float:
        """Seconds."""
        return sum(self.waits) / len(self.waits)

    def wait(self, share: float) -> float:
        """The wait in seconds that this share of the requests does not exceed; those refused and lost do not count."""
        return self.waits[min(len(self.waits) - 1, math.ceil(share * len(self.waits)) - 1)]

    def longer(self, seconds: float) -> float:
        """The share of requests that waited longer than that."""
        return sum(wait > seconds for wait in self.waits) / len(self.waits)


def simulate(
    upstreams: int,
    size: Size,
    load: Load,
    policy: Policy,
    *,
    requests: int,
    seed: int,
    failures: Failures | None = None,
) -> Figures:
    """Send `requests` through the policy to that many upstreams, and wait until all are over.

    No request meets an upstream that is down: its connection is refused, and the balancer tries the next at once. Those
    that wait in the balancer get what is free next in no order, since each tries again at times of its own.
    Same arguments, same figures.
    """
    run = _Run([Upstream(size) for _ in range(upstreams)], policy, random.Random(f"{seed} failure"), failures)
    warm = int(requests * WARM_SHARE)
    begin = end = 0.0
    for number, request in enumerate(itertools.islice(load.requests(seed), requests)):
        run.until(request.at)
        if number == warm:
            begin = request.at
        end = request.at
        run.arrive(request, is_measured=number >= warm)
    run.failures = None
    run.until(math.inf)
    return run.figures(begin, end)


class _Run:
    """The state of one run. Events are `(when, number, upstream, born, what begun)`; without a last one it is a failure
    or the end of one."""

    def __init__(
        self, upstreams: list[Upstream], policy: Policy, chance: random.Random, failures: Failures | None
    ) -> None:
        self.failures = failures
        self._upstreams = upstreams
        self._policy = policy
        self._chance = chance
        self._events: list[tuple[float, int, int, int, Begun | None]] = []
        self._numbers = itertools.count()
        self._now = 0.0
        self._down: set[int] = set()
        self._waiting: list[Request] = []
        self._figures = Figures()
        self._first_measured = math.inf
        self._taken: list[list[tuple[float, float]]] = [[] for _ in upstreams]
        if failures:
            for index in range(len(upstreams)):
                self._later(chance.expovariate(1 / failures.up_seconds), index, None)

    def until(self, when: float) -> None:
        """Carry out all that happens before."""
        while self._events and self._events[0][0] < when:
            self._now, _, index, born, begun = heapq.heappop(self._events)
            if begun is None:
                self._fail_or_return(index)
            elif born == self._upstreams[index].born:
                self._upstreams[index].finish(begun.request.model, self._now)
                self._policy.over(index)
                self._taken[index].append((begun.at, begun.end))
                if self._is_measured(begun.request):
                    self._figures.waits.append(begun.ready - begun.request.at)
                self._begin(index)
                self._send_waiting()

    def arrive(self, request: Request, *, is_measured: bool) -> None:
        """The policy chooses, and the upstream takes it or refuses."""
        self._now = request.at
        if is_measured:
            self._first_measured = min(self._first_measured, request.at)
            self._figures.requests += 1
        index = self._policy.choose(request.model)
        if index is None and self._policy.patience:
            self._waiting.append(request)
        else:
            self._send(request, index)

    def figures(self, begin: float, end: float) -> Figures:
        """What came of it between two times; call once, last."""
        figures, span = self._figures, end - begin
        figures.waits.sort()
        figures.lost = figures.requests - figures.refused - len(figures.waits)
        slots = self._upstreams[0].size.slots * span
        shares = [_overlap(taken, begin, end) / slots for taken in self._taken]
        figures.busy, figures.busiest = sum(shares) / len(shares), max(shares)
        for upstream in self._upstreams:
            upstream.close(self._now)
        stays = sum(_overlap(upstream.stays, begin, end) for upstream in self._upstreams)
        figures.in_memory = stays / span / len(self._upstreams)
        return figures

    def _begin(self, index: int) -> None:
        for begun in self._upstreams[index].begin(self._now):
            self._later(begun.end, index, begun)
            if begun.has_loaded and self._is_measured(begun.request):
                self._figures.loads += 1

    def _send(self, request: Request, index: int | None) -> None:
        if index is None or not self._upstreams[index].accept(request):
            self._figures.refused += self._is_measured(request)
            return
        self._policy.sent(index)
        self._begin(index)

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            place = int(self._chance.random() * len(waiting))
            request = waiting[place]
            is_late = self._now - request.at > self._policy.patience
            index = None if is_late else self._policy.choose(request.model)
            if index is None and not is_late:
                return
            waiting[place] = waiting[-1]
            waiting.pop()
            self._send(request, index)

    def _is_measured(self, request: Request) -> bool:
        return self._first_measured <= request.at

    def _fail_or_return(self, index: int) -> None:
        if index in self._down:
            self._down.remove(index)
            self._policy.up(index)
            self._send_waiting()
            if self.failures:
                self._later(self._now + self._chance.expovariate(1 / self.failures.up_seconds), index, None)
        elif self.failures:
            self._down.add(index)
            self._upstreams[index].fail(self._now)
            self._policy.down(index)
            self._later(self._now + self._chance.expovariate(1 / self.failures.down_seconds), index, None)

    def _later(self, when: float, index: int, begun: Begun | None) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), index, self._upstreams[index].born, begun))


def _overlap(spans: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    return sum(max(0.0, min(until, end) - max(since, begin)) for since, until in spans)
