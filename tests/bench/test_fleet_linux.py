"""The simulation of a balancer: it agrees with queueing on paper, and repeats itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet import paper
from bench.fleet.__main__ import table
from bench.fleet.check import checks
from bench.fleet.load import Bursts, Load, Request
from bench.fleet.policies import Homes, Spread
from bench.fleet.simulate import Failures, Figures, simulate
from bench.fleet.upstream import Size, Upstream

SCALE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.mark.timeout(300)  # 96 runs, which take a while beside other work
def test_each_figure_on_paper_lies_in_the_confidence_interval_of_the_simulation() -> None:
    """The seed is fixed, so chance decides nothing. The intervals are narrow enough to find an error of 30 %."""
    for check in checks(seed=1, requests=12_000):
        assert check.holds, check
        assert check.half < 0.3 * check.paper, check


@pytest.mark.timeout(60)  # a Markov chain of a thousand states is solved
def test_the_formulas_agree_where_they_meet() -> None:
    """M/M/1 is a case of M/M/k, of M/G/1 and of the shortest of one queue; the Erlang C value is one of the tables."""
    assert paper.erlang_c(1, 0.7) == pytest.approx(0.7)
    assert paper.erlang_c(5, 4.0) == pytest.approx(0.5541, abs=5e-5)
    assert paper.mmk_mean_wait(1, 0.7, 1.0) == pytest.approx(0.7 / 0.3)
    assert paper.mg1_mean_wait(0.7, 1.0, 1.0) == pytest.approx(paper.mmk_mean_wait(1, 0.7, 1.0))
    assert paper.jsq_mean_wait(1, 0.5, 1.0, longest=60) == pytest.approx(1.0, rel=1e-3)
    together, apart = paper.mmk_mean_wait(3, 2.4, 1.0), paper.mmk_mean_wait(1, 0.8, 1.0)
    assert together < paper.jsq_mean_wait(3, 2.4, 1.0) < apart
    assert paper.lru_misses([0.25] * 4, 1) == pytest.approx(0.75)
    assert paper.lru_misses(paper.zipf(5, 1.0), 5) == pytest.approx(0.0)


@pytest.mark.parametrize(("servers", "offered"), [(1, 1.0), (3, 4.0), (2, 0.0)])
def test_a_queue_without_a_steady_state_is_refused(servers: int, offered: float) -> None:
    with pytest.raises(ValueError, match="no steady state"):
        paper.erlang_c(servers, offered)
    with pytest.raises(ValueError, match="no steady state"):
        paper.jsq_mean_wait(servers, offered, 1.0)


def run(policy: Spread | Homes, **changes: object) -> Figures:
    """Four upstreams, six models, and heavy-tailed work."""
    load = Load(rate=1.2, seconds=2.0, popularity=tuple(paper.zipf(6, 1.0)), sigma=1.0)
    arguments: dict[str, object] = {"requests": 4_000, "seed": 7} | changes
    return simulate(4, Size(slots=1, models=2, load_seconds=1.0), load, policy, **arguments)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_figures_and_another_seed_others() -> None:
    first, again, other = (run(Spread(4, 7)), run(Spread(4, 7)), run(Spread(4, 7), seed=8))
    assert first == again
    assert first.waits != other.waits
    assert first.loads == 1716
    assert first.mean_wait == pytest.approx(3.196878)


def test_every_request_has_waited_or_is_lost_or_refused() -> None:
    """Also with failures, which lose some."""
    figures = run(Homes(4, 6, 7), failures=Failures(up_seconds=60.0, down_seconds=20.0))
    assert figures.requests == len(figures.waits) + figures.lost + figures.refused == 3_200
    assert figures.lost > 0
    assert run(Homes(4, 6, 7)).lost == 0


class Watched(Spread):
    """Fails if one that is down gets a request, or one that is not among the least busy."""

    def __init__(self) -> None:
        super().__init__(4, 7)
        self.counts: dict[int, int] = dict.fromkeys(range(4), 0)
        self.failures = 0

    def sent(self, upstream: int) -> None:
        assert self.counts[upstream] == min(self.counts.values())
        self.counts[upstream] += 1
        super().sent(upstream)

    def over(self, upstream: int) -> None:
        self.counts[upstream] -= 1
        super().over(upstream)

    def down(self, upstream: int) -> None:
        del self.counts[upstream]
        self.failures += 1
        super().down(upstream)

    def up(self, upstream: int) -> None:
        self.counts[upstream] = 0
        super().up(upstream)


def test_spread_takes_one_of_the_least_busy_that_are_up() -> None:
    watched = Watched()
    run(watched, failures=Failures(up_seconds=60.0, down_seconds=20.0))
    assert watched.failures > 10


def test_a_home_that_goes_down_moves_its_own_models_alone_and_gets_them_back() -> None:
    homes = Homes(5, 40, seed=3)
    before = [homes.choose(model) for model in range(40)]
    assert set(before) == set(range(5))
    homes.down(2)
    during = [homes.choose(model) for model in range(40)]
    assert 2 not in during
    assert [home for home in before if home != 2] == [
        now for now, home in zip(during, before, strict=True) if home != 2
    ]
    homes.up(2)
    assert [homes.choose(model) for model in range(40)] == before


def test_a_home_at_its_limit_is_passed_over_until_a_request_is_over() -> None:
    homes = Homes(3, 1, seed=3, limit=2)
    home = homes.choose(0)
    assert home is not None
    homes.sent(home)
    assert homes.choose(0) == home
    homes.sent(home)
    second = homes.choose(0)
    assert second != home
    homes.over(home)
    assert homes.choose(0) == home


def test_without_any_that_is_up_a_request_is_refused() -> None:
    for policy in (Spread(1, 1), Homes(1, 1, 1)):
        policy.down(0)
        assert policy.choose(0) is None


def test_a_second_request_waits_for_the_load_that_the_first_began() -> None:
    upstream = Upstream(Size(slots=2, models=1, load_seconds=10.0))
    upstream.accept(Request(0.0, 1, 5.0))
    upstream.accept(Request(4.0, 1, 5.0))
    first, second = upstream.begin(4.0)
    assert (first.has_loaded, second.has_loaded) == (True, False)
    assert (first.ready, second.ready) == (14.0, 14.0)


def test_a_model_in_use_is_not_evicted_and_its_request_holds_up_those_behind_it() -> None:
    upstream = Upstream(Size(slots=2, models=1, load_seconds=10.0))
    for model in (1, 2, 1):
        upstream.accept(Request(0.0, model, 5.0))
    assert [begun.request.model for begun in upstream.begin(0.0)] == [1]
    upstream.finish(1, 15.0)
    assert [begun.request.model for begun in upstream.begin(15.0)] == [2]


def test_an_unused_model_leaves_memory_and_the_least_recently_used_goes_first() -> None:
    upstream = Upstream(Size(slots=1, models=2, load_seconds=1.0, keep_seconds=100.0))
    now = 0.0
    loads: list[bool] = []
    for model, pause in ((1, 0.0), (2, 0.0), (1, 0.0), (3, 0.0), (1, 0.0), (2, 0.0), (2, 99.0), (2, 101.0)):
        now += pause
        upstream.accept(Request(now, model, 1.0))
        (begun,) = upstream.begin(now)
        loads.append(begun.has_loaded)
        now = begun.end
        upstream.finish(model, now)
    assert loads == [True, True, False, True, False, True, False, True]
    upstream.fail(now)
    assert upstream.stays[0] == (0.0 + 2.0, 5.0)


def test_a_full_queue_refuses() -> None:
    upstream = Upstream(Size(queue=1))
    assert upstream.accept(Request(0.0, 0, 1.0))
    assert not upstream.accept(Request(0.0, 0, 1.0))


@pytest.mark.parametrize("bursts", [None, Bursts(calm_seconds=30.0, busy_seconds=5.0, factor=5.0)])
def test_arrivals_have_the_rate_and_bursts_a_larger_spread(bursts: Bursts | None) -> None:
    """The mean gap of 40,000; and gaps in bursts vary more than a Poisson process's."""
    requests = Load(rate=5.0, seconds=1.0, bursts=bursts).requests(1)
    times = [next(requests).at for _ in range(40_000)]
    assert times[-1] / len(times) == pytest.approx(0.2, rel=0.05)
    per_ten_seconds = [0] * (int(times[-1] / 10) + 1)
    for at in times:
        per_ten_seconds[int(at / 10)] += 1
    mean = sum(per_ten_seconds) / len(per_ten_seconds)
    variance = sum((count - mean) ** 2 for count in per_ten_seconds) / len(per_ten_seconds)
    assert (variance > 3 * mean) == (bursts is not None)


def test_the_service_time_has_its_mean_and_a_heavy_tail() -> None:
    load = Load(rate=1.0, seconds=8.0, sigma=1.2)
    requests = load.requests(2)
    seconds = sorted(next(requests).seconds for _ in range(40_000))
    assert sum(seconds) / len(seconds) == pytest.approx(8.0, rel=0.05)
    assert seconds[int(0.99 * len(seconds))] == pytest.approx(8.0 * 7.9, rel=0.1)


@pytest.mark.timeout(120)
def test_the_tables_in_the_documentation_are_what_the_program_prints() -> None:
    """Those for 3 upstreams; the others take longer and come from the same code."""
    rows = list(table(["--upstreams", "3", "--models", "8", "--requests", "40000"]))
    assert len(rows) == 9
    documented = SCALE.read_text(encoding="utf-8")
    for row in rows:
        assert row in documented
