"""The requests that come: when, for which model, and how long each is worked on. The same for each policy."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bench.fleet import paper


class Request(NamedTuple):
    """`at` is when it arrives and `seconds` how long it is worked on, with its model in memory."""

    at: float
    model: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Bursts:
    """Calm and busy phases of random length: the rate while busy is `factor` times that while calm. Seconds."""

    calm_seconds: float = 270.0
    busy_seconds: float = 30.0
    factor: float = 4.0

    def calm_rate(self, rate: float) -> float:
        """The rate while calm at which all phases together have the mean `rate`."""
        whole = self.calm_seconds + self.busy_seconds
        return rate * whole / (self.calm_seconds + self.factor * self.busy_seconds)


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the fleet. `rate` is requests per second in the mean, `seconds` the mean service time.

    `popularity` is the share of requests for each model. `sigma` is that of a log-normal service time (with a heavy
    tail: with 1.2 one request in a hundred takes eight times the mean); None: exponential, as the formulas want it.
    """

    rate: float
    seconds: float
    popularity: tuple[float, ...] = (1.0,)
    sigma: float | None = None
    bursts: Bursts | None = None

    @property
    def variation(self) -> float:
        """The variance of the service time over the square of its mean."""
        return 1.0 if self.sigma is None else math.exp(self.sigma**2) - 1

    def requests(self, seed: int) -> Iterator[Request]:
        """Requests without end, in the order of their arrival. The same seed gives the same ones."""
        chooser, worker = random.Random(f"{seed} model"), random.Random(f"{seed} seconds")
        models = range(len(self.popularity))
        steps = list(itertools.accumulate(self.popularity))
        middle = 0.0 if self.sigma is None else math.log(self.seconds) - self.sigma**2 / 2
        for at in self._arrivals(random.Random(f"{seed} arrival")):
            (model,) = chooser.choices(models, cum_weights=steps)
            if self.sigma is None:
                seconds = worker.expovariate(1 / self.seconds)
            else:
                seconds = worker.lognormvariate(middle, self.sigma)
            yield Request(at, model, seconds)

    def _arrivals(self, chance: random.Random) -> Iterator[float]:
        now = 0.0
        if self.bursts is None:
            while True:
                now += chance.expovariate(self.rate)
                yield now
        calm = self.bursts.calm_rate(self.rate)
        while True:
            for rate, length in (
                (calm, self.bursts.calm_seconds),
                (calm * self.bursts.factor, self.bursts.busy_seconds),
            ):
                end = now + chance.expovariate(1 / length)
                # An exponential wait has no memory, so what is left of it at the end of a phase may be drawn anew.
                while (next_at := now + chance.expovariate(rate)) < end:
                    now = next_at
                    yield now
                now = end


def zipf_load(*, rate: float, seconds: float, models: int, exponent: float, sigma: float, bursts: bool) -> Load:
    """A load with Zipf's popularity of models."""
    popularity = tuple(paper.zipf(models, exponent))
    return Load(rate, seconds, popularity, sigma, Bursts() if bursts else None)
