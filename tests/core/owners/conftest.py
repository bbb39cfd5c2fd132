"""Real container engines, one of each kind for all tests that ask for one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.beds.require import require

if TYPE_CHECKING:
    from tests.beds.engines import Engine


@pytest.fixture(scope="session", params=["Podman", "Docker"])
def serving(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn."""
    from tests.beds import engines

    # The path of a Unix socket is short.
    folder = Path(tempfile.mkdtemp(prefix=f"aura-{request.param}-"))
    try:
        with require(lambda: getattr(engines, request.param)(folder)) as engine:
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(serving: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each engine in turn, without containers, and the only one that this program would ask."""
    monkeypatch.setenv("DOCKER_HOST", serving.url)
    yield serving
    serving.clear()
