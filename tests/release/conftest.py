"""Builds the program once a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.beds.frozen import freeze
from tests.beds.require import require


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two builds of the program, which differ in their version only."""
    return require(lambda: freeze(tmp_path_factory.mktemp("frozen")))
