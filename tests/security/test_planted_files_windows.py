"""A `run` folder on Windows that another user may have put there: it is refused, and nothing is written into it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

import _winapi

from core.platform import make_private_dir
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from tests import tied
from tests.api.test_server import run_sidecar

GUESTS = "*S-1-5-32-546"
NOBODY = "65534"


def give_away(folder: Path) -> None:
    """Make somebody else its owner, as only an administrator can, or in Wine the root below it."""
    command = ["icacls", str(folder), "/setowner", GUESTS]
    if tied.ON_WINE:
        # Wine takes whom the system below names as a file's owner, and cannot set one.
        command = ["start", "/wait", "/unix", "/bin/chown", NOBODY, unix_name(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        reason = (
            "tied to Linux: in Wine, only root can give a folder away" if tied.ON_WINE else "needs an administrator"
        )
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def unix_name(path: Path) -> str:
    """What the system below Wine calls it."""
    name = ctypes.WinDLL("kernel32").wine_get_unix_file_name
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_wchar_p]
    return str(name(str(path)).decode())


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder, as somebody else may have made it before we came."""
    run = Paths(tmp_path).run
    run.mkdir(parents=True)
    return run


def test_a_run_folder_of_another_user_is_refused_in_words(tmp_path: Path, run_dir: Path) -> None:
    """Whoever owns it could open it again, whatever its access list is set to."""
    give_away(run_dir)
    found = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert "This folder belongs to another user" in found.stderr
    assert "Traceback" not in found.stderr
    assert list(run_dir.iterdir()) == []


@tied.beyond_wine("it makes no junctions")
def test_a_junction_in_the_run_folders_place_is_refused_in_words(tmp_path: Path, run_dir: Path) -> None:
    run_dir.rmdir()
    (tmp_path / "elsewhere").mkdir()
    _winapi.CreateJunction(str(tmp_path / "elsewhere"), str(run_dir))
    found = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert "This folder is a link" in found.stderr
    assert "Traceback" not in found.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_run_folder_of_our_own_is_taken_again_and_again(run_dir: Path) -> None:
    for _ in range(3):
        make_private_dir(str(run_dir))
    # It was held open meanwhile, and is no longer.
    run_dir.rename(run_dir.with_name("moved"))


@pytest.mark.parametrize("which", ["the file", "its folder"])
def test_settings_of_another_user_are_not_used(tmp_path: Path, which: str) -> None:
    """They could have us run any program of his choice."""
    paths = Paths(tmp_path)
    paths.data.mkdir()
    paths.settings.write_text('{"ollamaModel": "theirs"}')
    reader = SettingsReader(paths)
    assert reader.read().ollama_model == "theirs"
    place = paths.settings if which == "the file" else paths.data
    give_away(place)
    os.utime(paths.settings)
    assert reader.read().ollama_model == "theirs", "the last good value, which was ours"
    assert reader.problem is not None
    assert reader.problem.message.startswith(f"{place} is not used: it belongs to another user (")
    assert SettingsReader(paths).read().ollama_model is None
