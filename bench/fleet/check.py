"""The simulation against queueing on paper, within confidence intervals from independent runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.fleet import paper
from bench.fleet.load import Load
from bench.fleet.policies import Homes, Policy, Spread
from bench.fleet.simulate import Figures, simulate
from bench.fleet.upstream import Size

RUNS = 12
REQUESTS = 50_000
T_QUANTILE = 4.437
"""Student's t with 11 degrees of freedom, two-sided 99.9 %: RUNS runs with seeds of their own are independent."""
_PLACED = 1
"""The seed of the homes, the same in all runs: the figure on paper depends on which models share one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One figure on paper, and the mean of it over the runs with half of its confidence interval."""

    name: str
    paper: float
    mean: float
    half: float

    @property
    def holds(self) -> bool:
        """Whether the figure on paper lies in the interval."""
        return abs(self.mean - self.paper) <= self.half


def checks(seed: int, requests: int = REQUESTS) -> Iterator[Check]:
    """All comparisons, one by one. `requests` is the number in each run; 40 s in all with the default."""
    endless = 10**9

    def case(
        name: str,
        on_paper: float,
        measure: Callable[[Figures], float],
        load: Load,
        policy: Callable[[int], Policy],
        *,
        upstreams: int = 1,
        size: Size | None = None,
    ) -> Check:
        figures = [
            measure(
                simulate(
                    upstreams,
                    size or Size(queue=endless),
                    load,
                    policy(run),
                    requests=requests,
                    seed=run,
                )
            )
            for run in range(seed * 1000, seed * 1000 + RUNS)
        ]
        half = T_QUANTILE * statistics.stdev(figures) / math.sqrt(RUNS)
        return Check(name, on_paper, statistics.fmean(figures), half)

    def alone(run: int) -> Spread:
        return Spread(1, run)

    eight = Size(slots=8, queue=endless)
    mmk = Load(rate=6.0, seconds=1.0)
    yield case(
        "M/M/1, 70 % busy: mean wait in service times",
        paper.mmk_mean_wait(1, 0.7, 1.0),
        lambda figures: figures.mean_wait,
        Load(rate=0.7, seconds=1.0),
        alone,
    )
    yield case(
        "M/M/8, 75 %: share that waits (Erlang C)",
        paper.erlang_c(8, 6.0),
        lambda figures: figures.longer(0.0),
        mmk,
        alone,
        size=eight,
    )
    yield case(
        "M/M/8, 75 %: mean wait",
        paper.mmk_mean_wait(8, 6.0, 1.0),
        lambda figures: figures.mean_wait,
        mmk,
        alone,
        size=eight,
    )
    yield case(
        "M/M/8, 75 %: share that waits longer than half a service time",
        paper.mmk_longer(8, 6.0, 1.0, 0.5),
        lambda figures: figures.longer(0.5),
        mmk,
        alone,
        size=eight,
    )
    heavy = Load(rate=0.5, seconds=1.0, sigma=1.0)
    yield case(
        "M/G/1, log-normal, 50 %: mean wait (Pollaczek, Khinchine)",
        paper.mg1_mean_wait(0.5, 1.0, heavy.variation),
        lambda figures: figures.mean_wait,
        heavy,
        alone,
    )
    yield case(
        "`spread` over 3, 80 %: mean wait (shortest queue, its Markov chain)",
        paper.jsq_mean_wait(3, 2.4, 1.0),
        lambda figures: figures.mean_wait,
        Load(rate=2.4, seconds=1.0),
        lambda run: Spread(3, run),
        upstreams=3,
    )
    shares = (0.3, 0.25, 0.2, 0.15, 0.1)
    fixed = [Homes(3, len(shares), _PLACED).choose(model) for model in range(len(shares))]
    rates = [sum(share for share, home in zip(shares, fixed, strict=True) if home == index) for index in range(3)]
    yield case(
        "`homes` over 3, 5 models: mean wait (an M/M/1 for each home)",
        sum(rate * paper.mmk_mean_wait(1, rate, 1.0) for rate in rates if rate),
        lambda figures: figures.mean_wait,
        Load(rate=1.0, seconds=1.0, popularity=shares),
        lambda run: Homes(3, len(shares), _PLACED),
        upstreams=3,
    )
    popularity = tuple(paper.zipf(8, 1.0))
    yield case(
        "8 models, Zipf, memory for 3: loads per request (least recently used, exact)",
        paper.lru_misses(popularity, 3),
        lambda figures: figures.loads / figures.requests,
        Load(rate=0.5, seconds=1.0, popularity=popularity),
        alone,
        size=Size(models=3, queue=endless),
    )
