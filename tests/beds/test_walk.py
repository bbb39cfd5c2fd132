"""The whole product does its main job for a real Ollama."""

from __future__ import annotations

import pytest

from tests.beds.require import require
from tests.beds.server import models_dir
from tests.beds.walk import walk


# Three processes start one after the other, on a machine that may be busy with other tests.
@pytest.mark.timeout(90)
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_a_sidecar_starts_shows_and_stops_a_real_ollama(wrapped: bool, capsys: pytest.CaptureFixture[str]) -> None:
    require(models_dir)
    walk(wrapped=wrapped)
    assert capsys.readouterr().out.endswith("All of the main job worked.\n")
