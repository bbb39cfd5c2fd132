"""What a crash, a quit or an upgrade of the sidecar does to a real Ollama, with the program as its users have it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call, free_port, listens

DEADLINE = 10.0
TOKENS = 1500


class Place:
    """A data folder, a port and the real Ollama, for one sidecar after the other."""

    def __init__(self, root: Path, front: str) -> None:
        bed = require(ollama)
        self.root = root
        self.executable = bed.executable if front == "bare" else bed.wrapped
        self.models = copy_models(root / "models")
        self.port = free_port()

    def sidecar(self, settings: Mapping[str, object] | None = None) -> Sidecar:
        """The next sidecar on this folder."""
        return Sidecar(
            self.root, executable=self.executable, models=self.models, ollama_port=self.port, settings=settings
        )

    def record(self) -> dict[str, object]:
        """The run record."""
        found: dict[str, object] = json.loads((self.root / f"AuraData/run/ollama-{self.port}.json").read_text())
        return found

    def tree(self) -> list[psutil.Process]:
        """The shim and all below it."""
        shim = psutil.Process(int(str(self.record()["shimPid"])))
        return [shim, *shim.children(recursive=True)]

    def log(self) -> list[str]:
        """All lines of all logs."""
        return [
            line
            for path in sorted((self.root / "AuraData/logs/ollama").glob("ollama-*.log"))
            for line in path.read_text().splitlines()
        ]


@pytest.fixture(params=["bare", "wrapped"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place whose Ollama is ended in any case."""
    place = Place(tmp_path, request.param)
    yield place
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        shim = place.tree()[0]
        shim.terminate()
        assert gone([shim], within=DEADLINE) == []


def gone(processes: list[psutil.Process], within: float) -> list[psutil.Process]:
    """Those that still live after `within` seconds."""
    deadline = time.monotonic() + within
    while (left := [one for one in processes if lives(one)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Generation:
    """A long streaming generation on a thread of its own, straight from Ollama."""

    def __init__(self, port: int) -> None:
        options = {"num_predict": TOKENS, "num_ctx": 2048}
        body = json.dumps({"model": "tiny", "prompt": "x", "raw": True, "options": options}).encode()
        self._request = urllib.request.Request(f"http://127.0.0.1:{port}/api/generate", data=body)
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.pieces = 0
        self.is_done = False

    def _read(self) -> None:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self._request, timeout=60) as answer:
            for line in answer:
                self.pieces += 1
                self.is_done = json.loads(line).get("done", False)
                if self.pieces == 3:
                    self._begun.set()

    def begin(self) -> None:
        """Return once it is well under way."""
        self._thread.start()
        assert self._begun.wait(DEADLINE)

    def end(self) -> None:
        """Return once it has ended, one way or another."""
        self._thread.join(30)
        assert not self._thread.is_alive()


def start(sidecar: Sidecar) -> int:
    """Start Ollama through the API; its pid."""
    answer = call("POST", f"{sidecar.url}/api/ollama/start", timeout=30)
    assert answer.status == 200, answer.body
    return int(str(answer.json["pid"]))


@contextmanager
def killed(sidecar: Sidecar) -> Iterator[None]:
    """SIGKILL the sidecar, and reap it at the end."""
    sidecar.process.kill()
    sidecar.process.wait(DEADLINE)
    yield


@pytest.mark.timeout(60)  # a generation of 1,500 tokens on two busy cores
def test_a_generation_outlives_the_sidecar_and_the_next_one_adopts_it(place: Place) -> None:
    first = place.sidecar().__enter__()
    pid = start(first)
    generation = Generation(place.port)
    generation.begin()
    with killed(first):
        assert not generation.is_done
        generation.end()
    assert generation.is_done
    # The line that Ollama writes after the last token, when no sidecar was there to see it.
    deadline = time.monotonic() + DEADLINE
    while not (told := [line for line in place.log() if 'POST     "/api/generate"' in line]):
        assert time.monotonic() < deadline
    assert "| 200 |" in told[0]
    before = place.log()

    with place.sidecar() as second:
        status = call("GET", f"{second.url}/api/ollama/status").json
        assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, pid)
        tree = place.tree()
        assert call("POST", f"{second.url}/api/ollama/stop", timeout=30).status == 200
        assert gone(tree, within=0.5) == []
        assert not listens(place.port)
        after = place.log()
    assert after[: len(before)] == before
    assert len(list((place.root / "AuraData/logs/ollama").glob("*.log"))) == 1


@pytest.mark.timeout(30)  # two starts of a sidecar
@pytest.mark.parametrize("end", [psutil.Process.kill, psutil.Process.terminate])
@pytest.mark.parametrize("is_sidecar_alive", [True, False], ids=["sidecar alive", "sidecar dead"])
def test_no_descendant_outlives_its_shim_by_2_s(
    place: Place, end: Callable[[psutil.Process], None], *, is_sidecar_alive: bool
) -> None:
    with place.sidecar() as sidecar:
        start(sidecar)
        generation = Generation(place.port)
        generation.begin()
        tree = place.tree()
        assert any("runner" in process.cmdline() for process in tree)
        if not is_sidecar_alive:
            sidecar.process.kill()
            sidecar.process.wait(DEADLINE)
        end(tree[0])
        assert gone(tree, within=2.0) == []
        assert not listens(place.port)
        with contextlib.suppress(Exception):
            generation.end()
        if is_sidecar_alive:
            deadline = time.monotonic() + 1.0
            status = call("GET", f"{sidecar.url}/api/ollama/status").json
            assert status["running"] is False
            # The guard has the last word on how it ended.
            while status["state"] != "failed" and time.monotonic() < deadline:
                status = call("GET", f"{sidecar.url}/api/ollama/status").json
            assert (status["state"], status["running"], status["pid"]) == ("failed", False, None)


@pytest.mark.timeout(30)  # two starts of a sidecar
@pytest.mark.parametrize(
    ("number", "settings", "lives_on"),
    [
        (signal.SIGTERM, {"stopOnTerminate": False}, True),
        (signal.SIGTERM, {"stopOnTerminate": True}, False),
        (signal.SIGINT, {}, False),
        (signal.SIGINT, {"stopOnQuit": False}, True),
    ],
    ids=["SIGTERM", "SIGTERM, stopOnTerminate", "SIGINT", "SIGINT, no stopOnQuit"],
)
def test_a_signal_ends_the_sidecar_and_the_settings_say_whether_ollama_too(
    place: Place, number: signal.Signals, settings: Mapping[str, object], *, lives_on: bool
) -> None:
    sidecar = place.sidecar(settings).__enter__()
    pid = start(sidecar)
    tree = place.tree()
    sidecar.process.send_signal(number)
    assert sidecar.process.wait(DEADLINE) == 0
    assert psutil.pid_exists(pid) == lives_on
    assert listens(place.port) == lives_on
    if not lives_on:
        assert gone(tree, within=0.5) == []


def run_sidecar(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m api` to its end."""
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=DEADLINE, check=False)


def test_a_second_sidecar_on_the_same_folder_says_whom_it_met(tmp_path: Path) -> None:
    place = Place(tmp_path, "bare")
    with place.sidecar() as sidecar:
        second = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
        assert second.returncode == 1
        assert f"{sidecar.url} (pid {sidecar.process.pid})" in second.stderr


def test_a_taken_port_is_an_error_that_names_its_holder(tmp_path: Path) -> None:
    place = Place(tmp_path, "bare")
    with place.sidecar() as sidecar:
        port = sidecar.url.rpartition(":")[2]
        second = run_sidecar("--port", port, "--data-dir", str(tmp_path / "other"))
        assert second.returncode == 1
        assert f"pid {sidecar.process.pid}" in second.stderr
        assert "--port" in second.stderr


@pytest.mark.parametrize("port", ["65536", "-1", "x", "", "٣"])
def test_a_bad_port_is_refused_with_what_would_do(port: str) -> None:
    found = run_sidecar(f"--port={port}")
    assert found.returncode == 2
    assert "0 to 65535" in found.stderr


def test_a_damaged_settings_file_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    place = Place(tmp_path, "bare")
    with place.sidecar() as sidecar:
        damaged = tmp_path / "AuraData/ollama-sidecar.json"
        damaged.write_text('{\n  "readyTimeout": "soon"\n}')
        deadline = time.monotonic() + DEADLINE
        while (told := call("GET", f"{sidecar.url}/api/ollama/status").json["settingsError"]) is None:
            assert time.monotonic() < deadline
        for word in ("ollama-sidecar.json", "line 2", "readyTimeout", "soon"):
            assert word in str(told)
        start(sidecar)
        assert damaged.read_text() == '{\n  "readyTimeout": "soon"\n}'
