"""One sidecar for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.page.bed import make_sidecar


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """The sidecar of this module, whose Ollama has the model `tiny` and runs or not."""
    with make_sidecar(tmp_path_factory.mktemp("page")) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def running(shared: Sidecar) -> Sidecar:
    """That sidecar, with its Ollama running from then on."""
    assert call("POST", f"{shared.url}/api/ollama/start", timeout=60).status == 200
    return shared
