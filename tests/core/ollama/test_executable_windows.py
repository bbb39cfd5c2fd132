"""Where an Ollama is looked for on Windows, with programs in the real places."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from core.errors import PathNotConfigured
from core.ollama.executable import locate
from core.supervision.state import State
from tests import fake_ollama
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")


def test_program_files_comes_first_then_the_users_own_places_then_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ProgramFiles", str(tmp_path / "Program Files"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    monkeypatch.setenv("PATH", str(tmp_path / "on path"))
    program = fake_ollama.install(tmp_path / "bin")
    places = [
        tmp_path / "Program Files" / "Ollama",
        tmp_path / "Local" / "Programs" / "Ollama",
        tmp_path / "Local" / "Ollama",
        tmp_path / "on path",
    ]
    for place in places:
        place.mkdir(parents=True)
        shutil.copyfile(program, place / "ollama.exe")

    assert locate(str(program)) == program, "what was configured comes before all"
    for place in places:
        assert locate(None) == place / "ollama.exe"
        (place / "ollama.exe").unlink()
    with pytest.raises(PathNotConfigured):
        locate(None)


async def test_a_real_ollama_in_the_users_own_place_is_found_and_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ProgramFiles", str(tmp_path / "none"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    place = tmp_path / "Local" / "Programs" / "Ollama"
    shutil.copytree(require(ollama).executable.parent, place, ignore=shutil.ignore_patterns("wrap"))
    rig = Rig(tmp_path, "")
    async with rig.supervising() as supervisor:
        started = await supervisor.start()
        assert (started.state, started.install_path) == (State.RUNNING, place / "ollama.exe")
