"""A disk that hangs holds up neither calls nor the end: what was read last stands, and status says what is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.beds.bound_disk import BoundDisk, bound_disk
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call
from tests.chaos.place import DEADLINE, Place, wait_until
from tests.rig import lives

pytestmark = pytest.mark.timeout(60)  # seconds of silence that have to pass
MOST_A_CALL_TAKES = 1.0
MOST_THE_END_TAKES = 4.0
MOST_A_STOP_TAKES = 8.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[BoundDisk]:
    with ExitStack() as stack:
        yield require(lambda: stack.enter_context(bound_disk(tmp_path / "disk")))


@pytest.fixture
def place(tmp_path: Path, disk: BoundDisk) -> Iterator[Place]:
    """A place whose two settings files lie on the disk, as links."""
    place = Place(tmp_path / "place", fake_ollama.install(tmp_path / "bin"), {"allowedOrigins": ["http://a.example"]})
    place.paths.data.mkdir(parents=True)
    for path in (place.paths.settings, place.paths.sidecar):
        path.symlink_to(disk.at / path.name)
    with place:
        yield place


def test_settings_that_hang_hold_up_no_call_and_what_was_read_stays_in_force(place: Place, disk: BoundDisk) -> None:
    pid = place.start()
    process = psutil.Process(place.sidecar.process.pid)
    url = place.sidecar.url
    assert place.status()["settingsError"] is None
    threads = process.num_threads()
    with disk.hanging():
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(_timed_status, url) for _ in range(100)]
        assert max(answer.result() for answer in asked) < MOST_A_CALL_TAKES
        wait_until(lambda: "its disk does not answer" in str(place.status()["settingsError"]), "what is wrong")
        status = place.status()
        assert (status["running"], status["pid"]) == (True, pid)
        allowed = call("GET", f"{url}/healthz", headers={"Origin": "http://a.example"})
        assert allowed.status == 200
        # One that reads the settings, and one for whatever else was at work when they were counted.
        assert process.num_threads() <= threads + 2
        assert place.post("stop").status == 200
    wait_until(lambda: place.status()["settingsError"] is None, "an answer of the disk")


def _timed_status(url: str) -> float:
    began = time.monotonic()
    assert call("GET", f"{url}/api/ollama/status").status == 200
    return time.monotonic() - began


def _await_end(pid: int) -> None:
    """Wait until that child of ours has ended, as far as a program can.

    What the disk's server had begun to answer when it was stopped, the kernel waits for: until then a thread that asked
    for it stays, and its process is a zombie that cannot be reaped.
    """
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "the end")


def test_settings_that_hang_do_not_hold_up_the_end(place: Place, disk: BoundDisk) -> None:
    place.start()
    process = place.sidecar.process
    with disk.hanging():
        wait_until(lambda: place.status()["settingsError"], "what is wrong")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _await_end(process.pid)
        assert time.monotonic() - began < MOST_THE_END_TAKES
    assert process.wait(DEADLINE) == 0


@pytest.fixture
def all_there(tmp_path: Path, disk: BoundDisk) -> Iterator[Place]:
    """A place whose whole data folder lies on the disk."""
    with Place(disk.at, fake_ollama.install(tmp_path / "bin"), {"stopOnTerminate": False}) as place:
        yield place


def test_a_data_folder_that_hangs_holds_up_neither_looking_nor_the_end(all_there: Place, disk: BoundDisk) -> None:
    """Its log, its token and its records with it; the Ollama goes on for the next sidecar."""
    pid = all_there.start()
    process, url = all_there.sidecar.process, all_there.sidecar.url
    token = (all_there.paths.run / "token").read_text().strip()
    with disk.hanging():
        wait_until(lambda: all_there.status()["settingsError"], "what is wrong")
        assert _timed_status(url) < MOST_A_CALL_TAKES
        known = call("GET", f"{url}/healthz", headers={"Origin": "null", "X-Aura-Token": token})
        assert known.status == 200, "the last token stands"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _await_end(process.pid)
        assert time.monotonic() - began < MOST_THE_END_TAKES
    assert process.wait(DEADLINE) == 0
    assert psutil.pid_exists(pid)
    all_there.kill_sidecar()


@pytest.mark.parametrize("how", ["stop", "crash", "adopted"])
def test_an_end_that_cannot_be_recorded_is_told_by_the_processes(all_there: Place, disk: BoundDisk, how: str) -> None:
    """The shim stays until the disk answers, and says then how it ended."""
    pid = all_there.start()
    if how == "adopted":
        all_there.kill_sidecar()
        assert all_there.status()["pid"] == pid
    process, shim = psutil.Process(pid), all_there.shims()[0]
    with disk.hanging():
        if how == "crash":
            process.kill()
            wait_until(lambda: all_there.status()["state"] == "failed", "the end")
            assert "how could not be recorded" in str(all_there.status()["reason"])
        else:
            began = time.monotonic()
            answer = all_there.post("stop")
            assert (answer.status, answer.json["success"]) == (200, True), answer.body
            assert time.monotonic() - began < MOST_A_STOP_TAKES
            assert all_there.status()["state"] == "stopped"
        assert all_there.status()["pid"] is None
        assert not lives(process)
        assert lives(shim)
    wait_until(lambda: not lives(shim), "the shim's end")
    record = all_there.record()
    assert record is not None
    assert record.reason == ("exited" if how == "crash" else "stopped")
    all_there.start()
    assert all_there.post("stop").status == 200


def test_a_start_on_a_disk_that_hangs_says_so(tmp_path: Path, disk: BoundDisk) -> None:
    command = [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(disk.at)]
    with disk.hanging():
        found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 1
    assert "its disk does not answer" in found.stderr
    assert "Traceback" not in found.stderr
