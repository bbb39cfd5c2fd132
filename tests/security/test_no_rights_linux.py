"""A disk that keeps no rights, as FAT: refused in words where others could get at the token, used where they cannot."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.settings.edit import write_settings
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from tests import fake_ollama
from tests.api.test_server import run_sidecar
from tests.beds.bound_disk import BoundDisk, bound_disk
from tests.beds.require import require
from tests.chaos.place import Place

HOW = {"chmod is refused": "--chmod-deny", "chmod is ignored": "--chmod-ignore"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def disk(stack: ExitStack, at: Path, how: str, rights: str) -> BoundDisk:
    return require(lambda: stack.enter_context(bound_disk(at, HOW[how], f"--perms={rights}")))


@pytest.mark.parametrize("how", HOW)
def test_a_data_folder_whose_disk_keeps_no_rights_is_refused_in_words(
    stack: ExitStack, tmp_path: Path, how: str
) -> None:
    root = disk(stack, tmp_path / "disk", how, "0777").at
    found = run_sidecar("--port", "0", "--data-dir", str(root))
    assert found.returncode == 1
    assert f"{Paths(root).run}: It lies on a file system that keeps no rights" in found.stderr
    assert "--data-dir" in found.stderr
    assert "Errno" not in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("how", HOW)
def test_a_disk_that_is_closed_to_others_as_a_whole_will_do(stack: ExitStack, tmp_path: Path, how: str) -> None:
    """Then no right has to be set: the settings are written, and Ollama starts."""
    root = disk(stack, tmp_path / "disk", how, "0700").at
    with Place(root, fake_ollama.install(tmp_path / "bin")) as place:
        assert place.start()
        write_settings(Paths(root), {"ollamaModel": "m"})
        assert SettingsReader(Paths(root)).read().ollama_model == "m"
        assert stat.S_IMODE((Paths(root).run / "token").stat().st_mode) == 0o700
