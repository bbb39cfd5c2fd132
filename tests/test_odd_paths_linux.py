"""Folders whose names are no text by the rules of the system's language, as old disks and archives leave them."""

from __future__ import annotations

import json
import os
import subprocess
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


def test_a_name_that_steers_a_terminal_or_ends_a_line_is_printed_escaped(tmp_path: Path) -> None:
    """The greeting, a complaint and what --rotate-token says: each is one line, whatever the folder is called."""
    name, shown = "a\nb\x1b[31mc\u202e", r"a\nb\x1b[31mc\u202e"
    command = [sys.executable, "-m", "api", "--data-dir", str(tmp_path / name)]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True, encoding="utf-8") as serving:
        assert serving.stdout
        greeting = serving.stdout.readline()
        serving.terminate()
    assert greeting.endswith(f"(data in {tmp_path / shown}/AuraData)\n")
    rotated = subprocess.run([*command, "--rotate-token"], capture_output=True, encoding="utf-8", check=True)
    assert str(tmp_path / shown) in rotated.stdout
    assert rotated.stdout.count("\n") == 1
    (tmp_path / name / "AuraData" / "run").rename(tmp_path / "run")
    (tmp_path / name / "AuraData" / "run").touch()
    refused = subprocess.run([*command, "--port", "0"], capture_output=True, encoding="utf-8", check=False)
    assert refused.returncode == 1
    assert f"aura-ollama: {tmp_path / shown}" in refused.stderr
    assert "\x1b" not in refused.stderr
    unknown = subprocess.run([*command, "--what\x1b[31m"], capture_output=True, encoding="utf-8", check=False)
    assert unknown.stderr.endswith("error: unrecognized arguments: --what\\x1b[31m\n")


def test_help_tells_the_whole_default_of_the_data_folder(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "100%"), "COLUMNS": "400"}
    told = subprocess.run([sys.executable, "-m", "api", "--help"], capture_output=True, text=True, env=env, check=True)
    assert f"(default: $AURA_DATA_PATH, else {tmp_path}/100%/.local/share/Aura)" in told.stdout
