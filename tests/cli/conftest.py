"""One sidecar for all tests of a module, with a real Ollama that is started by whoever needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """The sidecar of this module. Its Ollama has the model `tiny`, and may run or not."""
    root = tmp_path_factory.mktemp("aura")
    bed = require(ollama)
    copy_models(root / "models")
    with Sidecar(root, executable=bed.executable, models=root / "models", ollama_port=free_port()) as sidecar:
        yield sidecar


@pytest.fixture
def stopped(shared: Sidecar) -> Sidecar:
    """That sidecar, with no Ollama running."""
    if call("GET", f"{shared.url}/api/ollama/status").json["running"]:
        assert call("POST", f"{shared.url}/api/ollama/stop", timeout=30).status == 200
    return shared


@pytest.fixture
def running(shared: Sidecar) -> Sidecar:
    """That sidecar, with its Ollama running."""
    if not call("GET", f"{shared.url}/api/ollama/status").json["running"]:
        answer = call("POST", f"{shared.url}/api/ollama/start", timeout=60)
        assert answer.status == 200, answer.body
    return shared
