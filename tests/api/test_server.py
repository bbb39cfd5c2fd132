"""`python -m api` as a program: its options, its refusals, its signals, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from core import __version__
from core.platform import birth, sockets
from tests import fake_ollama, tied
from tests.beds.ending import NO_SIGTERM, ask_to_end, end
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import Answer, JsonObject, call, free_port, listens

DEADLINE = tied.seconds(10.0)
SIGNALS = [pytest.param(signal.SIGTERM, marks=NO_SIGTERM), signal.SIGINT]


class Place:
    """A data folder, a port and a stand-in Ollama that behaves as told, for one sidecar after the other."""

    def __init__(self, root: Path, **behaviour: str) -> None:
        self.root = root
        self.executable = fake_ollama.install(root / "bin", **behaviour)
        self.port = free_port()
        self.settings = root / "AuraData" / "ollama-sidecar.json"

    def sidecar(self, settings: dict[str, object] | bytes | None = None) -> Sidecar:
        """The next sidecar on this folder."""
        models = self.root / "models"
        return Sidecar(self.root, executable=self.executable, models=models, ollama_port=self.port, settings=settings)


def run_sidecar(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m api` to its end, which comes by itself."""
    command = [sys.executable, "-X", "utf8", "-m", "api", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, encoding="utf-8", timeout=DEADLINE, check=False)


def ask(sidecar: Sidecar, method: str, what: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A call of one of the endpoints."""
    return call(method, f"{sidecar.url}/api/ollama/{what}", headers=headers, timeout=DEADLINE)


def status_once(sidecar: Sidecar, fits: Callable[[JsonObject], bool]) -> JsonObject:
    """The first status that fits."""
    deadline = time.monotonic() + DEADLINE
    while not fits(status := ask(sidecar, "GET", "status").json):
        assert time.monotonic() < deadline, status
    return status


def test_the_version_is_all_that_version_prints() -> None:
    found = run_sidecar("--version")
    assert (found.returncode, found.stdout, found.stderr) == (0, f"aura-ollama {__version__}\n", "")


@pytest.mark.parametrize("port", ["65536", "-1", "x", "", "1.5", "5006 ", "٣"])
def test_a_bad_port_is_refused_with_what_would_do(port: str, tmp_path: Path) -> None:
    found = run_sidecar(f"--port={port}", "--data-dir", str(tmp_path))
    assert found.returncode == 2
    assert repr(port) in found.stderr
    assert "0 to 65535" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_port_0_is_a_free_port_on_loopback_only(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        port = int(sidecar.url.rpartition(":")[2])
        assert list(sockets.listening(port)) == [("127.0.0.1", tied.owner(sidecar.process.pid))]
        assert call("GET", f"{sidecar.url}/healthz").json["version"] == __version__


def test_a_second_sidecar_on_the_same_folder_says_whom_it_met_and_disturbs_nobody(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        for _ in range(2):
            second = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
            assert second.returncode == 1
            assert f"{sidecar.url} (pid {sidecar.process.pid})" in second.stderr
            assert "Traceback" not in second.stderr
        assert ask(sidecar, "GET", "status").status == 200


def test_a_taken_port_is_an_error_that_names_its_holder(tmp_path: Path, web_server: int) -> None:
    found = run_sidecar("--port", str(web_server), "--data-dir", str(tmp_path))
    assert found.returncode == 1
    holder = "unknown" if tied.ON_WINE else f"pid {os.getpid()}"
    for words in (f"127.0.0.1:{web_server}", holder, "--port", "ollama-sidecar.json"):
        assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_without_port_the_settings_say_where_to_listen(tmp_path: Path, web_server: int) -> None:
    """Told by the refusal, since a port that is free now may not be free a moment later."""
    (tmp_path / "AuraData").mkdir()
    (tmp_path / "AuraData" / "ollama-sidecar.json").write_text(json.dumps({"port": web_server}))
    found = run_sidecar("--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert f"127.0.0.1:{web_server}" in found.stderr


def test_a_folder_that_cannot_be_used_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "AuraData").write_text("a file where the folder should be")
    found = run_sidecar("--port", "0", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    assert "AuraData" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{\n  "readyTimeout": "soon"\n}', ["line 2", "readyTimeout", "soon"]),
        (b'{\n  "port": 5006,\n  "readyTimeout": \n}', ["line 4"]),
        (b"\xff\xfe\x00", []),
        (b"", []),
    ],
    ids=["wrong type", "half a document", "no text", "empty"],
)
def test_settings_that_are_damaged_at_start_ask_for_the_token_and_are_told(
    tmp_path: Path, content: bytes, told: list[str]
) -> None:
    """Apart from the token the defaults are in force."""
    place = Place(tmp_path)
    with place.sidecar(content) as sidecar:
        assert ask(sidecar, "POST", "start").status == 403
        secret = {"X-Aura-Token": (tmp_path / "AuraData/run/token").read_text().strip()}
        error = str(ask(sidecar, "GET", "status", secret).json["settingsError"])
        for words in ("ollama-sidecar.json", *told):
            assert words in error
        assert ask(sidecar, "POST", "start", secret).status == 200
        assert ask(sidecar, "POST", "stop", secret).status == 200
    assert place.settings.read_bytes() == content


def test_settings_that_become_damaged_are_told_and_the_last_good_ones_stay_in_force(tmp_path: Path) -> None:
    """What stays is `stopOnTerminate`, which the bed's own end relies on."""
    place = Place(tmp_path)
    with place.sidecar() as sidecar:
        assert ask(sidecar, "GET", "status").json["settingsError"] is None
        place.settings.write_text('{\n  "readyTimeout": "soon"\n}')
        error = status_once(sidecar, lambda status: status["settingsError"] is not None)["settingsError"]
        for words in ("ollama-sidecar.json", "line 2", "readyTimeout", "soon"):
            assert words in str(error)
        assert ask(sidecar, "POST", "start").status == 200
    assert not listens(place.port)
    assert place.settings.read_text() == '{\n  "readyTimeout": "soon"\n}'


@pytest.mark.parametrize("number", SIGNALS)
def test_an_orderly_end_is_silent_and_gives_the_folder_free(tmp_path: Path, number: signal.Signals) -> None:
    place = Place(tmp_path)
    with place.sidecar() as sidecar:
        note = json.loads((tmp_path / "AuraData/run/sidecar.json").read_text())
        pid = sidecar.process.pid
        # The birth tells readers of the note of a killed sidecar that another program has its pid by now.
        assert note == {"url": sidecar.url, "pid": pid, "birth": birth(pid)}
        assert end(sidecar.process, DEADLINE, number) == 0
        assert "Traceback" not in sidecar.errors.read_text()
        assert not (tmp_path / "AuraData/run/sidecar.json").exists()
    with place.sidecar() as following:
        assert ask(following, "GET", "status").status == 200


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_repeated_in_haste_still_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    place = Place(tmp_path)
    with place.sidecar() as sidecar:
        assert ask(sidecar, "POST", "start").status == 200
        deadline = time.monotonic() + DEADLINE
        while sidecar.process.poll() is None:
            assert time.monotonic() < deadline
            ask_to_end(sidecar.process, number)
            # Some reach it in its very last steps, after it has served.
            with suppress(subprocess.TimeoutExpired):
                sidecar.process.wait(0.001)
        assert sidecar.process.returncode == 0
        assert "Traceback" not in sidecar.errors.read_text()
        assert not listens(place.port)


def start_aside(sidecar: Sidecar, pool: ThreadPoolExecutor) -> tuple[Future[Answer], int]:
    """A start that does not come to its end, and the pid of what it spawned."""
    starting = pool.submit(ask, sidecar, "POST", "start")
    status = status_once(sidecar, lambda status: status["pid"] is not None)
    assert status["state"] == "starting"
    return starting, int(str(status["pid"]))


@pytest.mark.parametrize("stops", [True, False], ids=["stopOnTerminate", "default"])
def test_a_signal_during_a_start_answers_its_caller_and_ends_at_once(tmp_path: Path, *, stops: bool) -> None:
    place = Place(tmp_path, FAKE_NO_LISTEN="1")
    with ThreadPoolExecutor(1) as pool, place.sidecar({"stopOnTerminate": stops, "stopOnQuit": stops}) as sidecar:
        starting, pid = start_aside(sidecar, pool)
        began = time.monotonic()
        ask_to_end(sidecar.process)
        assert sidecar.process.wait(DEADLINE) == 0
        assert time.monotonic() - began < tied.seconds(3.0)
        assert starting.result(DEADLINE).status == 503
        assert psutil.pid_exists(pid) is not stops
    if not stops:
        with place.sidecar() as following:
            status = ask(following, "GET", "status").json
            assert (status["managedByApp"], status["adopted"], status["pid"]) == (True, True, pid)
            assert ask(following, "POST", "stop").status == 200
            assert not psutil.pid_exists(pid)
