"""SIGSTOP of Ollama, of its shim and of the guard: told as it is, healed where it can be, and never in a stop's way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from core.shim.record import SHIM_KILLED
from tests import fake_ollama
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.wire import JsonObject, listens
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until

pytestmark = pytest.mark.timeout(30)  # probes and graces of several seconds
MOST_AN_ANSWER_TAKES = 1.0
GRACE = 2.0


both = pytest.mark.parametrize("place", ["bare", "wrapped"], indirect=True)


@pytest.fixture(params=["bare"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A real Ollama with a model loaded and a generation under way."""
    bed = require(ollama)
    copy_models(tmp_path / "models")
    program = bed.executable if request.param == "bare" else bed.wrapped
    with Place(tmp_path, program, {"stopTimeout": GRACE}) as place:
        place.start()
        with suppress(ConnectionError), place.generating():
            yield place


def _tree(place: Place) -> list[psutil.Process]:
    return [*place.ollamas(), *place.runners()]


def _each(do: Callable[[psutil.Process], None], processes: list[psutil.Process]) -> None:
    for process in processes:
        do(process)


def _status_at_once(place: Place) -> JsonObject:
    began = time.monotonic()
    status = place.status()
    assert time.monotonic() - began < MOST_AN_ANSWER_TAKES
    return status


def _stop(place: Place, within: float) -> None:
    began = time.monotonic()
    assert place.post("stop").status == 200
    assert time.monotonic() - began < within
    settle(place)
    assert not listens(place.port)
    assert place.processes() == []


@both
def test_a_hanging_ollama_is_told_with_the_age_of_the_news_and_heals(place: Place) -> None:
    pid = place.status()["pid"]
    _each(psutil.Process.suspend, _tree(place))
    wait_until(lambda: _status_at_once(place)["error"] is not None, "a probe that timed out")
    hanging = _status_at_once(place)
    assert (hanging["running"], hanging["state"], hanging["error"]) == (True, "running", "Connection timeout")
    assert hanging["pid"] == pid
    assert int(str(hanging["ageMs"])) > 1500
    refusal = place.post("start")
    assert (refusal.status, refusal.json["code"]) == (409, "not_answering")

    _each(psutil.Process.resume, _tree(place))
    wait_until(lambda: _status_at_once(place)["error"] is None, "an answer")
    healed = place.status()
    assert (healed["running"], healed["pid"]) == (True, pid)
    assert int(str(healed["ageMs"])) < 1000
    settle(place)


@both
def test_a_hanging_ollama_is_stopped_within_its_grace(place: Place) -> None:
    _each(psutil.Process.suspend, _tree(place))
    _stop(place, within=GRACE + 1)


def test_an_ollama_that_hangs_while_it_starts_is_ended_at_ready_timeout(tmp_path: Path) -> None:
    program = fake_ollama.install(tmp_path / "bin", FAKE_LISTEN_AFTER="0.5")
    with Place(tmp_path, program, {"readyTimeout": 1.0}) as place, ThreadPoolExecutor(1) as pool:
        starting = pool.submit(place.post, "start")
        wait_until(place.ollamas, "an Ollama")
        _each(psutil.Process.suspend, place.ollamas())
        answer = starting.result(30)
        assert (answer.status, answer.json["code"]) == (500, "start_timed_out")
        settle(place)
        assert place.processes() == []


def test_a_stopped_shim_is_in_nobody_s_way(place: Place) -> None:
    _each(psutil.Process.suspend, place.shims())
    assert _status_at_once(place)["running"] is True
    _stop(place, within=GRACE + 1)


def test_a_stopped_guard_is_continued_and_guards(place: Place) -> None:
    (guard,) = place.guards()
    _each(psutil.Process.suspend, [guard])
    wait_until(lambda: guard.status() != psutil.STATUS_STOPPED, "a guard that goes on", within=1.0)
    _each(psutil.Process.kill, place.shims())
    wait_until(lambda: place.status()["state"] == "failed", "the end")
    settle(place)
    assert place.processes() == []


def test_a_stopped_guard_is_in_no_stop_s_way(place: Place) -> None:
    # A shim that is stopped too cannot continue it before the stop.
    _each(psutil.Process.suspend, place.shims())
    _each(psutil.Process.suspend, place.guards())
    _stop(place, within=GRACE + 1)


def test_what_a_stopped_guard_leaves_of_a_killed_shim_is_ended_by_the_sidecar(place: Place) -> None:
    _each(psutil.Process.suspend, place.shims())
    _each(psutil.Process.suspend, place.guards())
    _each(psutil.Process.kill, place.shims())
    wait_until(lambda: place.status()["state"] == "failed", "the end")
    settle(place)
    assert place.processes() == []
    assert "The shim and its guard were killed" in place.newest_log()[-1]


def test_a_log_disk_that_hangs_keeps_nothing_of_a_killed_shim_alive(place: Place) -> None:
    record = place.record()
    assert record is not None
    log = Path(record.log)
    _each(psutil.Process.suspend, place.shims())
    # Who opens a FIFO that nobody reads waits, as for a disk of a network that is down.
    log.unlink()
    if sys.platform != "win32":
        os.mkfifo(log)
    _each(psutil.Process.kill, place.shims())
    wait_until(lambda: not place.processes(), "the end of all", within=2.0)
    log.unlink()
    ended = place.record()
    assert ended is not None
    assert ended.reason == SHIM_KILLED
    settle(place)
