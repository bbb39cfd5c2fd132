"""The frame of the measurements: figures, targets and their words, and that every row can be found and told of."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from bench import table
from bench.measures import MEASURES
from bench.rows import (
    Measure,
    Options,
    Pair,
    Result,
    Round,
    Row,
    Take,
    Target,
    at_least,
    at_most,
    below,
    beyond,
    grows_by,
    measured,
    p99,
    summed_up,
)
from tests.beds import BedMissing


def row(target: Target, *, is_growth: bool = False) -> Row:
    return Row("name", "what", "ms", "peer", target, is_growth=is_growth)


@pytest.mark.parametrize(
    ("target", "ours", "peer", "is_reached", "words", "compared"),
    [
        (at_most(1.2), 12.0, 10.0, True, "≤ 1.2 ×", "1.20 ×"),
        (at_most(1.2), 13.0, 10.0, False, "≤ 1.2 ×", "1.30 ×"),
        (at_least(0.8), 8.0, 10.0, True, "≥ 0.8 ×", "0.80 ×"),
        (at_least(0.8), 7.9, 10.0, False, "≥ 0.8 ×", "0.79 ×"),
        (beyond(50.0), 90.0, 40.0, True, "≤ +50 ms", "+50.0 ms"),
        (beyond(50.0), 91.0, 40.0, False, "≤ +50 ms", "+51.0 ms"),
        (below(20.0), 20.0, None, True, "≤ 20 ms", ""),
        (below(20.0), 21.0, 40.0, False, "≤ 20 ms", "0.53 ×"),
    ],
)
def test_a_target_is_reached_up_to_its_limit(
    target: Target, ours: float, peer: float | None, is_reached: bool, words: str, compared: str
) -> None:
    result = summed_up(row(target), [Pair(ours, peer)])
    assert result.is_reached is is_reached
    assert target.in_words("ms") == words
    assert table.compared(result) == compared


@pytest.mark.parametrize(
    ("ours", "exponent", "is_reached"), [(10.0, 0.0, True), (100.0, 1.0, True), (110.0, 1.04, False)]
)
def test_growth_is_told_as_an_exponent(ours: float, exponent: float, is_reached: bool) -> None:
    result = summed_up(row(grows_by(1.0), is_growth=True), [Pair(ours, 10.0)])
    assert result.exponent == pytest.approx(exponent, abs=0.005)
    assert result.is_reached is is_reached
    assert table.compared(result) == f"exponent {exponent:.2f}"


def test_a_row_shows_medians_and_the_median_of_the_ratios_of_pairs() -> None:
    """One round in which the machine was slow for ours alone decides nothing."""
    result = summed_up(row(at_most(2.0)), [Pair(10, 10), Pair(900, 10), Pair(40, 20)])
    assert (result.ours, result.peer, result.ratio, result.rounds) == (40, 10, 2, 3)


def test_of_a_row_about_the_latest_the_99th_percentile_counts() -> None:
    pairs = [Pair(float(number), 1.0) for number in range(1, 102)]
    result = summed_up(Row("late", "what", "ms", "peer", below(99.0), take=p99), pairs)
    assert result.ours == pytest.approx(100.0)
    assert result.is_reached is False


def test_what_cannot_be_measured_is_told_with_the_reason_and_is_not_reached() -> None:
    @contextlib.contextmanager
    def bed(options: Options) -> Iterator[Take]:
        raise BedMissing("wrk is missing (Debian: wrk)")
        yield

    (result,) = measured(Measure((row(at_most(1.0)),), 3, bed, list), Options())
    assert result.is_reached is None
    assert "wrk is missing" in table.line(result)
    assert "not measured" in table.line(result)


def test_each_round_is_taken_in_one_bed_and_as_often_as_is_asked_for() -> None:
    beds: list[int] = []

    @contextlib.contextmanager
    def bed(options: Options) -> Iterator[Take]:
        beds.append(0)

        def take() -> Round:
            beds[-1] += 1
            return {"name": Pair(beds[-1])}

        yield take

    measure = Measure((row(below(2.0)),), 3, bed, list)
    assert measured(measure, Options())[0].ours == 2
    assert measured(measure, Options(rounds=5))[0].ours == 3
    assert beds == [3, 5]


def test_every_row_of_the_bench_has_a_name_of_its_own_and_growth_is_told_by_exponents() -> None:
    rows = [row for measure in MEASURES for row in measure.rows]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert all(row.is_growth == row.target.in_words("").startswith("exponent") for row in rows)
    assert all(row.peer for row in rows if row.target.kind not in ("ours",))


def test_the_results_are_told_in_json_and_in_markdown() -> None:
    results = [summed_up(row(at_most(1.2)), [Pair(13.0, 10.0)]), Result(row(below(1.0)), missing="no wrk")]
    told = json.loads(table.as_json(results, {"processor": "2 × x"}, "2025-01-01", 60))
    assert [(each["ours"], each["ratio"], each["reached"]) for each in told["rows"]] == [(13, 1.3, False), (None,) * 3]
    text = table.as_markdown(results, {"processor": "2 × x"}, "2025-01-01", 60, {"name": ["60% place"]})
    assert "| name | what | 13 ms | 10 ms | peer | 1.30 × | ≤ 1.2 × | NOT REACHED |" in text
    assert "0 of 2 rows reached" in text
    assert "### name\n\n```text\n60% place\n```" in text
