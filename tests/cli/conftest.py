"""Sidecars with a real Ollama, one for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.cli.shop import Shop, shop


@contextmanager
def serving(root: Path) -> Iterator[Sidecar]:
    """A sidecar whose Ollama, which does not run yet, has the model `tiny`."""
    bed = require(ollama)
    copy_models(root / "models")
    with Sidecar(root, executable=bed.executable, models=root / "models", ollama_port=free_port()) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar for all tests of a module that start no Ollama, or stop it before they end."""
    with serving(tmp_path_factory.mktemp("aura")) as sidecar:
        yield sidecar


@pytest.fixture
def stopped(shared: Sidecar) -> Iterator[Sidecar]:
    """That sidecar; an Ollama that the test starts is stopped after it."""
    yield shared
    if call("GET", f"{shared.url}/api/ollama/status").json["running"]:
        assert call("POST", f"{shared.url}/api/ollama/stop", timeout=30).status == 200


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Another sidecar, whose Ollama runs for all tests of a module, which leave it running."""
    with serving(tmp_path_factory.mktemp("running")) as sidecar:
        answer = call("POST", f"{sidecar.url}/api/ollama/start", timeout=60)
        assert answer.status == 200, answer.body
        yield sidecar


@pytest.fixture(scope="module")
def registry_shop() -> Iterator[Shop]:
    """A registry for this module's tests."""
    with shop() as found:
        yield found


@pytest.fixture(scope="module")
def puller(registry_shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar that may pull from it, with an Ollama that runs."""
    root = tmp_path_factory.mktemp("puller")
    settings = {"allowedRegistries": [registry_shop.host], "allowInsecureRegistries": True}
    executable = require(ollama).executable
    with Sidecar(
        root, executable=executable, models=root / "models", ollama_port=free_port(), settings=settings
    ) as sidecar:
        answer = call("POST", f"{sidecar.url}/api/ollama/start", timeout=60)
        assert answer.status == 200, answer.body
        yield sidecar
