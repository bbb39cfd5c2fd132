"""The frozen program does its main job, and can be replaced meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from api.page import FILES
from cli import exits, table
from tests import tied
from tests.beds.frozen import PROGRAM, SHIM, VERSIONS, Frozen, alive, ask, eventually
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.wire import call, listens

# The first test waits for two builds, and under Wine each file that they read takes its time.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def frozen(builds: list[Path], tmp_path: Path) -> Frozen:
    """The first build, installed, with the real Ollama."""
    place = Frozen(tmp_path, require(ollama).executable)
    place.install(builds[0])
    return place


def started(url: str) -> int:
    """Start Ollama; its pid."""
    answer = ask(url, "POST", "start")
    assert answer.status == 200, answer.body
    return int(str(answer.json["pid"]))


def shim_folders(frozen: Frozen) -> list[str]:
    """The copies of the shim, without the hash in their names."""
    return sorted(path.name.rpartition("-")[0] for path in (frozen.data / "run").glob("shim-*"))


def test_it_serves_says_its_version_and_ends(frozen: Frozen) -> None:
    with frozen.serving() as url:
        answer = call("GET", f"{url}/healthz")
        assert (answer.status, answer.json["version"]) == (200, VERSIONS[0])
        # What is imported only then is in the build as well.
        assert b"aura_ollama_up" in call("GET", f"{url}/metrics").body
        # And so are the files that are no code.
        assert {name: call("GET", f"{url}/page/{name}").body for name in FILES} == {
            name: file.content for name, file in FILES.items()
        }
        port = int(url.rpartition(":")[2])
    assert not listens(port)


def test_its_commands_speak_to_the_one_that_serves(frozen: Frozen) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            frozen.command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stdout.decode()

    assert said("status", "--json")[0] == exits.NO_SIDECAR
    with frozen.serving():
        code, printed = said("status", "--json")
        assert (code, json.loads(printed)["state"]) == (exits.NOT_RUNNING, "stopped")
        code, printed = said("completion", "bash")
        # Each command is imported by its name, which PyInstaller does not see.
        assert code == exits.DONE
        assert all(command.name in printed for command in table.COMMANDS)
        assert said("settings", "set", "readyTimeout", "soon")[0] == exits.FAILED


def test_its_folder_is_replaced_while_ollama_runs_and_the_new_one_adopts_and_stops_it(
    frozen: Frozen, builds: list[Path]
) -> None:
    with frozen.serving() as url:
        pid = started(url)
        frozen.generate()
        tree = frozen.tree()
        assert len(tree) >= 3
    frozen.install(builds[1])
    assert alive(tree) == list(tree)

    with frozen.serving() as url:
        assert call("GET", f"{url}/healthz").json["version"] == VERSIONS[1]
        status = ask(url, "GET", "status").json
        assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, pid)
        frozen.generate()
        assert ask(url, "POST", "stop").status == 200
        eventually(lambda: alive(tree) == [], "end of the tree")
        assert not listens(frozen.ollama_port)
        record = frozen.record()
        assert (record["reason"], record["exitCode"]) == ("stopped", 0)

        assert shim_folders(frozen) == [f"shim-{VERSIONS[0]}"]
        started(url)
        assert shim_folders(frozen) == [f"shim-{VERSIONS[1]}"]
        assert ask(url, "POST", "stop").status == 200


def test_a_build_that_lost_its_shim_is_its_own_shim(frozen: Frozen) -> None:
    """A virus scanner may take a small unknown program away."""
    (frozen.folder / SHIM).unlink()
    with frozen.serving() as url:
        started(url)
        shim = psutil.Process(int(str(frozen.record()["shimPid"])))
        assert Path(shim.cmdline()[0]) == frozen.folder / PROGRAM
        tree = frozen.tree()
        assert ask(url, "POST", "stop").status == 200
        eventually(lambda: alive(tree) == [], "end of the tree")
        assert frozen.record()["exitCode"] == 0


@tied.linux("Windows shows no process's search for libraries")
def test_ollama_does_not_look_for_libraries_in_the_program(frozen: Frozen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it see any other variable that PyInstaller sets."""
    before = dict(os.environ)
    for path in ("", "/opt/theirs"):
        if path:
            monkeypatch.setenv("LD_LIBRARY_PATH", path)
        with frozen.serving() as url:
            seen = psutil.Process(started(url)).environ()
            assert ask(url, "POST", "stop").status == 200
        assert seen.get("LD_LIBRARY_PATH", "") == path
        ours = {name for name in seen if name not in before} - {"LD_LIBRARY_PATH"}
        assert not [name for name in ours if "PYI" in name or "MEI" in name]
