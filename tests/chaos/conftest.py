"""Where the chance of a test comes from. All of it is for Linux: it signals, mounts, and looks into /proc."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass

import pytest

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@dataclass(frozen=True, slots=True)
class Chance:
    """A random source that `seed` and the test's name determine, and how many rounds there are in all."""

    random: random.Random
    seed: int
    rounds: int


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Chance:
    """This test's share of `--chaos-seed` and `--chaos-rounds`."""
    seed: int = request.config.getoption("--chaos-seed")
    rounds: int = request.config.getoption("--chaos-rounds")
    print(f"again with: --chaos-seed={seed} --chaos-rounds={rounds}")
    return Chance(random.Random(f"{seed} {request.node.name}"), seed, rounds)
