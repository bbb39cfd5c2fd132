"""A program that is installed beside others, upgraded, moved or removed: its sidecar goes on, and its shim starts."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama, tied
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import JsonObject, call, free_port

pytestmark = pytest.mark.timeout(60)  # a sidecar each, whose modules are compiled anew

PACKAGES = ("core", "api", "tray", "icons")
# As an installed program runs: the standard library first, then site packages, of which `site` is one.
RUN = """
import runpy, sys
site = sys.argv.pop(1)
sys.path[:] = [folder for folder in sys.path if folder not in ("", {checkout!r})] + [site]
runpy.run_module("api", run_name="__main__", alter_sys=True)
"""
# Modules of the standard library that a shim imports, and one that has the name of a module of ours.
SHADOWS = ("enum", "json", "contextlib", "threading", "signal", "token")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as an installer fills it, with the program in it and nothing else."""
    folder = tmp_path / "site"
    for name in PACKAGES:
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@contextmanager
def installed(site: Path, root: Path, python: str = sys.executable) -> Iterator[Sidecar]:
    """A sidecar that runs from that folder."""
    root.mkdir()
    program = [python, "-P", "-c", RUN.format(checkout=str(CHECKOUT)), str(site)]
    with sidecar(root, program) as running:
        # It answers this once it has begun in earnest.
        assert call("GET", f"{running.url}/api/ollama/status").json["state"] == "stopped"
        yield running


def sidecar(root: Path, program: list[str]) -> Sidecar:
    """That program, for a stand-in of Ollama."""
    ollama = fake_ollama.install(root / "bin")
    return Sidecar(root, executable=ollama, models=root, ollama_port=free_port(), program=program, cwd=root)


def post(sidecar: Sidecar, what: str) -> JsonObject:
    """What the sidecar answers."""
    return call("POST", f"{sidecar.url}/api/ollama/{what}", timeout=30).json


def starts_and_stops(sidecar: Sidecar) -> None:
    """See an Ollama of its own come and go."""
    assert (post(sidecar, "start")["success"], post(sidecar, "stop")["success"]) == (True, True)


def test_modules_beside_the_program_do_not_stand_in_for_the_standard_library(site: Path, tmp_path: Path) -> None:
    for name in SHADOWS:
        (site / f"{name}.py").write_text(f"raise SystemExit('{name} is not the standard library\\'s')\n")
    with installed(site, tmp_path / "data") as sidecar:
        starts_and_stops(sidecar)


def test_a_sidecar_whose_program_was_removed_starts_ollama_all_the_same(site: Path, tmp_path: Path) -> None:
    with installed(site, tmp_path / "data") as sidecar:
        shutil.rmtree(site)
        starts_and_stops(sidecar)


def test_a_sidecar_whose_program_was_upgraded_uses_the_shim_it_came_with(site: Path, tmp_path: Path) -> None:
    with installed(site, tmp_path / "data") as sidecar:
        (site / "core" / "shim.py").write_text("raise SystemExit('of another version')\n")
        starts_and_stops(sidecar)


@tied.posix("an interpreter that is one file and can be deleted while it runs")
def test_without_its_interpreter_a_start_says_to_restart_the_program(site: Path, tmp_path: Path) -> None:
    root, python = tmp_path / "data", tmp_path / "python3"
    root.mkdir()
    shutil.copy(f"{sysconfig.get_config_var('BINDIR')}/python{sysconfig.get_config_var('VERSION')}", python)
    packages = [folder for folder in sys.path if folder.endswith("-packages")]
    code = f"import sys; sys.path += {packages!r}\n" + RUN.format(checkout=str(CHECKOUT))
    with sidecar(root, [str(python), "-P", "-c", code, str(site)]) as running:
        starts_and_stops(running)
        python.unlink()
        answer = post(running, "start")
        assert (answer["success"], answer["code"]) == (False, "spawn_failed")
        assert "Restart aura-ollama" in str(answer["action"])
        assert str(python) in str(answer["message"])


def test_a_program_in_one_archive_starts_ollama(site: Path, tmp_path: Path) -> None:
    """As `python -m zipapp` makes it."""
    archive = tmp_path / "aura-ollama.pyz"
    (site / "__main__.py").write_text(
        f"import sys\nsys.path = [folder for folder in sys.path if folder != {str(CHECKOUT)!r}]\n"
        "import runpy\nrunpy.run_module('api', run_name='__main__', alter_sys=True)\n"
    )
    with zipfile.ZipFile(archive, "w") as packed:
        for path in site.rglob("*"):
            packed.write(path, path.relative_to(site))
    root = tmp_path / "data"
    root.mkdir()
    with sidecar(root, [sys.executable, str(archive)]) as running:
        starts_and_stops(running)


def test_a_shim_is_known_by_the_words_of_every_version(site: Path, tmp_path: Path) -> None:
    """Sidecars of another version look for `core.shim` among the words, and for the spec as the last one."""
    with installed(site, tmp_path / "data") as sidecar:
        assert post(sidecar, "start")["success"]
        shim = json.loads((tmp_path / "data/AuraData/run/default.json").read_text())["shimPid"]
        command = psutil.Process(shim).cmdline()
        assert "core.shim" in command
        assert Path(command[-1]).parent.samefile(tmp_path / "data/AuraData/run")
        assert post(sidecar, "stop")["success"]
