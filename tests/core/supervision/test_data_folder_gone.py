"""A data folder that is taken away in a run: nothing of ours makes it anew, and a start says what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core import token
from core.errors import ConfigError, SpawnFailed
from core.logs.segments import Caps, SegmentedFile
from core.output.sidecar_log import _RotatingFile
from core.owners.shim_start import Plan, start_shim
from core.settings.edit import write_settings, write_sidecar
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from tests import tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import models_dir
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port


def moved(data: Path) -> None:
    """As with a disk that holds the folder."""
    data.rename(data.with_name("away"))


def dangling(data: Path) -> None:
    """As with a disk that a link leads to."""
    moved(data)
    data.symlink_to(data.with_name("no disk"))


def unmounted(data: Path) -> None:
    """As with a disk that is mounted at the folder itself, whose empty place stays."""
    moved(data)
    data.mkdir()


def brought_back(data: Path) -> None:
    if data.is_symlink():
        data.unlink()
    elif data.is_dir():
        shutil.rmtree(data)
    data.with_name("away").rename(data)


@tied.posix("Windows lets nobody move a folder in which a file is open")
@pytest.mark.parametrize("take_away", [moved, dangling, unmounted])
def test_a_start_refuses_in_words_and_the_last_good_values_stay(
    tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    executable, port = require(ollama).executable, free_port()
    with Sidecar(tmp_path, executable=executable, models=models_dir(), ollama_port=port) as sidecar:
        data = tmp_path / "AuraData"
        assert call("GET", f"{sidecar.url}/api/ollama/status").json["settingsError"] is None
        take_away(data)
        try:
            for _ in range(2):
                refused = call("POST", f"{sidecar.url}/api/ollama/start")
                assert refused.status == 400
                assert str(data) in str(refused.json["message"])
                assert refused.json["action"] == "Bring its disk back, or restart aura-ollama."
                status = call("GET", f"{sidecar.url}/api/ollama/status").json
                assert str(data) in str(status["settingsError"])
                assert status["baseUrl"] == sidecar.ollama_url
                assert status["installPath"] == str(executable)
                assert not data.exists() or not list(data.iterdir())
        finally:
            brought_back(data)
        assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200


@pytest.mark.parametrize("take_away", [moved, unmounted])
def test_settings_that_go_with_their_folder_stay_in_force(tmp_path: Path, take_away: Callable[[Path], None]) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    paths.sidecar.write_text('{"requireToken": true}')
    reader = SettingsReader(paths)
    assert reader.read().sidecar.require_token
    take_away(paths.data)
    assert reader.read().sidecar.require_token
    assert reader.problem is not None
    brought_back(paths.data)
    assert reader.read().sidecar.require_token
    assert reader.problem is None
    paths.sidecar.unlink()
    assert not reader.read().sidecar.require_token


def test_nothing_of_ours_makes_the_folder_anew(tmp_path: Path) -> None:
    """The token, the settings, the shim's log: the token and the settings say which folder is gone."""
    paths = Paths(tmp_path)
    with pytest.raises(FileNotFoundError, match="AuraData"):
        token.read_or_create(paths.run)
    with pytest.raises(ConfigError, match="is gone"):
        write_settings(paths, {"ollamaModel": "m"})
    with pytest.raises(ConfigError, match="is gone"):
        write_sidecar(paths, {"port": 5007})
    for instance in ("default", "second", "logs"):
        with pytest.raises(FileNotFoundError):
            SegmentedFile(str(paths.logs_of(instance)), Caps(), 0.0)
    assert not paths.data.exists()


async def test_a_start_whose_folder_goes_at_the_last_moment_says_so(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    plan = Plan(tmp_path / "ollama", "http://127.0.0.1:1", 1, {}, paths.run, paths.logs, {}, 1.0)
    with pytest.raises(SpawnFailed) as failed:
        await start_shim(plan)
    assert f"{paths.data} is gone" in failed.value.message
    assert failed.value.action == "Bring its disk back, or restart aura-ollama."
    assert not any(tmp_path.iterdir())


@tied.posix("Windows lets nobody delete a folder in which a file is open")
def test_our_log_makes_its_folder_at_first_and_the_data_folder_never_again(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    files = _RotatingFile(paths.logs.parent / "sidecar.log")
    files.write("")
    files.write("first\n")
    shutil.rmtree(paths.logs.parent)
    # As long as the data folder is there the log's own folder is made anew.
    files.write("second\n")
    assert (paths.logs.parent / "sidecar.log").read_text() == "second\n"
    shutil.rmtree(paths.data)
    with pytest.raises(FileNotFoundError):
        files.write("third\n")
    assert not paths.data.exists()


@tied.posix("Windows lets nobody delete a folder in which a file is open")
@pytest.mark.parametrize("instance", ["default", "second", "logs"])
def test_a_log_that_goes_on_does_not_make_the_folder_anew(tmp_path: Path, instance: str) -> None:
    paths = Paths(tmp_path)
    paths.data.mkdir()
    log = SegmentedFile(str(paths.logs_of(instance)), Caps(), 0.0)
    assert log.append(b"first\n") == 0
    shutil.rmtree(paths.data)
    assert log.append(b"second\n") == 1
    assert not paths.data.exists()
    paths.data.mkdir()
    assert log.append(b"third\n") == 0
    log.close()
