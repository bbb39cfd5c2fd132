"""Folders whose names are no text by the rules of the system's language, as old disks and archives leave them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.beds.sidecar import Sidecar
from tests.beds.wire import JsonObject, call, free_port
from tests.rig import lives

assert sys.platform == "linux"

pytestmark = pytest.mark.timeout(60)  # two sidecars
LANGUAGES = {
    "UTF-8": {"LC_ALL": "C.UTF-8"},
    "C": {"LC_ALL": "C"},
    "C, no UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


def post(sidecar: Sidecar, what: str) -> JsonObject:
    """What the sidecar answers."""
    return call("POST", f"{sidecar.url}/api/ollama/{what}", timeout=20).json


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("name", [b"d\xe9", "Müller 用户".encode()], ids=["no UTF-8", "UTF-8"])
def test_an_ollama_in_a_folder_of_any_name_starts_is_adopted_and_stops(
    tmp_path: Path, name: bytes, language: Mapping[str, str]
) -> None:
    root = tmp_path / os.fsdecode(name)
    root.mkdir()
    ollama, port = fake_ollama.install(tmp_path / "bin"), free_port()

    def sidecar() -> Sidecar:
        settings = json.dumps({"stopOnTerminate": False}).encode()
        return Sidecar(root, executable=ollama, models=root, ollama_port=port, settings=settings, env=language)

    first = sidecar().__enter__()
    answer = post(first, "start")
    assert answer["success"], answer
    first.process.kill()
    first.process.wait()
    with sidecar() as second:
        status = call("GET", f"{second.url}/api/ollama/status").json
        assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, answer["pid"])
        family = psutil.Process(int(str(answer["pid"])))
        stopped = post(second, "stop")
        assert stopped["success"], stopped
        assert not lives(family)
