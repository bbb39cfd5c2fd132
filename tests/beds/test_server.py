"""The real Ollama is real: it serves a model, and ends whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.beds import BedMissing
from tests.beds.ollama import OllamaBed, ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models, models_dir
from tests.beds.wire import call, listens


@pytest.fixture
def bed() -> OllamaBed:
    require(models_dir)
    return require(ollama)


@pytest.mark.parametrize("front", ["bare", "wrapped"])
def test_a_real_ollama_generates_with_the_tiny_model(bed: OllamaBed, tmp_path: Path, front: str) -> None:
    executable = bed.wrapped if front == "wrapped" else bed.executable
    models = copy_models(tmp_path / "models")
    with OllamaServer(tmp_path, executable=executable, models=models) as server:
        question = {"model": "tiny", "prompt": "hello", "stream": False, "options": {"num_predict": 4}}
        answer = call("POST", f"{server.url}/api/generate", {**question})
        assert answer.status == 200
        assert answer.json["eval_count"] == 4
    assert not listens(server.port)


def test_terminating_it_ends_it_with_0(bed: OllamaBed, tmp_path: Path) -> None:
    with OllamaServer(tmp_path, executable=bed.executable) as server:
        assert server.stop() == 0


def test_a_server_that_ends_early_says_why(bed: OllamaBed, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with (
        pytest.raises(RuntimeError, match=r"Error: mkdir .*models: "),
        OllamaServer(tmp_path, executable=bed.executable),
    ):
        pass


def test_a_missing_bed_fails_in_ci_and_skips_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise BedMissing("no gcc")

    monkeypatch.setitem(os.environ, "CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no gcc"):
        require(missing)
    monkeypatch.delitem(os.environ, "CI")
    with pytest.raises(pytest.skip.Exception, match="no gcc"):
        require(missing)
