"""A short load in passing; `python -m bench.load` is the long one, with figures."""

from __future__ import annotations

import pytest

from bench.load import measured
from tests import tied

SECONDS = 5.0
RATE = 400.0


@tied.linux("measures speed, and Wine's is no system's")
# Five seconds of load, and the starts that it brings about.
@pytest.mark.timeout(60)
def test_a_steady_load_is_borne_without_an_error() -> None:
    figures = measured(RATE, SECONDS)
    assert dict(figures.faults) == {}
    assert figures.calls == int(RATE * SECONDS)
    assert figures.calls / figures.seconds > RATE / 2
