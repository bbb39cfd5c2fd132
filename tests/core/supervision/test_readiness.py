"""How often an Ollama that has just been started is asked whether it is ready."""

from __future__ import annotations

import itertools

import pytest

from core.supervision.readiness import pauses


def test_a_warm_ollama_is_asked_soon_and_often_and_a_slow_one_four_times_a_second() -> None:
    first = list(itertools.accumulate(itertools.islice(pauses(), 9)))
    assert first[0] == pytest.approx(0.002)
    assert 0.035 < first[-1] < 0.045
    assert max(later - earlier for earlier, later in itertools.pairwise(first)) < 0.01
    # In a minute.
    assert sum(at < 60 for at in itertools.accumulate(itertools.islice(pauses(), 1000))) < 270
