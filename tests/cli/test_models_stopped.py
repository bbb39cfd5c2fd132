"""What commands about models say while no Ollama runs."""

from __future__ import annotations

import pytest

from cli import exits
from tests.beds.sidecar import Sidecar
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("command", ["models", "ps", "load tiny", "unload tiny", "rm -y tiny"])
def test_it_fails_and_says_that_ollama_is_not_running(shared: Sidecar, command: str) -> None:
    said = aura(*command.split(), data=shared.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert "Not reachable" in said.err or "Ollama is not running" in said.err
