"""Two at the same moment: our Ollama and somebody else's on one port, two sidecars on one folder or on one port."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.sidecar import CHECKOUT, GREETING
from tests.beds.wire import Answer, listens
from tests.chaos.conftest import Chance
from tests.chaos.invariants import settle
from tests.chaos.place import DEADLINE, Place, wait_until

ROUNDS, FEW_ROUNDS = 30, 5
JITTER_SECONDS = 0.08


@pytest.mark.timeout(90)  # thirty starts of two Ollamas
def test_of_ours_and_theirs_on_one_port_one_wins_and_the_status_says_which(chance: Chance, tmp_path: Path) -> None:
    bed = require(ollama)
    with Place(tmp_path, bed.executable) as place, ThreadPoolExecutor(1) as pool:
        assert place.status()["state"] == "stopped"
        for number in range(ROUNDS):
            asked = pool.submit(_start_after, place, chance.random.uniform(0, JITTER_SECONDS))
            time.sleep(chance.random.uniform(0, JITTER_SECONDS))
            theirs = OllamaServer(tmp_path / "theirs", executable=bed.executable, port=place.port)
            try:
                _one_won(place, theirs, asked.result(30), f"round {number}")
            finally:
                # Ours first: the other waits until nobody listens.
                place.post("stop")
                theirs.kill()
            _wait_for(place, "stopped", "failed")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_whoever_listens_first_wins_though_the_other_was_already_started(tmp_path: Path, first: str) -> None:
    """The one that is to lose has been started, and waits behind a gate until the other one listens."""
    bed = require(ollama)
    gate, gated = tmp_path / "gate", tmp_path / "gated" / "ollama"
    gated.parent.mkdir()
    gated.write_text(f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.01; done\nexec "{bed.executable}" "$@"\n')
    gated.chmod(0o755)
    ours, other = (bed.executable, gated) if first == "ours" else (gated, bed.executable)
    with Place(tmp_path, ours) as place, ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(gate.touch)
        asked = pool.submit(place.post, "start")
        if first == "theirs":
            wait_until(place.ollamas, "our Ollama behind its gate")
        theirs = OllamaServer(tmp_path / "theirs", executable=other, port=place.port)
        stack.callback(theirs.kill)
        wait_until(lambda: _listener(place) is not None, "the first one to listen")
        gate.touch()
        assert _one_won(place, theirs, asked.result(30), first) == first


def _start_after(place: Place, delay: float) -> Answer:
    time.sleep(delay)
    return place.post("start")


def _one_won(place: Place, theirs: OllamaServer, answer: Answer, what: str) -> str:
    """Who listens; everything that is said agrees with it, and theirs has not been signalled by anybody."""
    wait_until(lambda: theirs.process.poll() is not None or _listener(place) == theirs.pid, "theirs to win or to end")
    if answer.status == 200:
        # Go's own words for a port that is taken, and its own exit code: not a signal of ours.
        assert theirs.process.wait(DEADLINE) == 1, what
        assert "address already in use" in theirs.log.read_text(), what
        settle(place)
        assert place.status()["pid"] == _listener(place) == answer.json["pid"], what
        return "ours"
    assert answer.json["code"] == "already_running", (what, answer.body)
    assert theirs.process.poll() is None, what
    _wait_for(place, "external")
    status = place.status()
    assert (status["running"], status["managedByApp"], status["pid"]) == (True, False, theirs.pid), what
    wait_until(lambda: not place.shims(), f"the end of ours, {what}", within=1.0)
    refusal = place.post("stop")
    assert (refusal.status, refusal.json["code"]) == (409, "not_ours"), what
    assert theirs.process.poll() is None, what
    return "theirs"


def _wait_for(place: Place, *states: str) -> None:
    wait_until(lambda: place.status()["state"] in states, " or ".join(states), within=2.0)


def _listener(place: Place) -> int | None:
    rows = [row for row in psutil.net_connections("tcp4") if row.laddr and row.laddr.port == place.port]
    found = {row.pid for row in rows if row.status == psutil.CONN_LISTEN}
    assert len(found) <= 1
    return found.pop() if found else None


@pytest.mark.timeout(60)
def test_of_two_sidecars_on_one_folder_one_serves_and_the_other_says_who(chance: Chance, tmp_path: Path) -> None:
    for number in range(FEW_ROUNDS):
        with _two_sidecars(tmp_path, chance.random) as sidecars:
            ends = [sidecar.wait(DEADLINE) for sidecar in sidecars if _refused(sidecar)]
            assert ends == [1], number
            (loser,) = [sidecar for sidecar in sidecars if sidecar.poll() is not None]
            assert loser.stderr
            words = loser.stderr.read()
            assert f"Another sidecar serves {tmp_path / 'AuraData'}" in words, number
            assert "Traceback" not in words, number


@contextmanager
def _two_sidecars(root: Path, random: Random) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "api", "--port", "0", "--data-dir", str(root)]
    sidecars = []
    try:
        for _ in range(2):
            sidecar = subprocess.Popen(command, cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            sidecars.append(sidecar)
            time.sleep(random.choice([0.0, random.uniform(0, JITTER_SECONDS)]))
        yield sidecars
    finally:
        for sidecar in sidecars:
            sidecar.terminate()
            sidecar.communicate(timeout=DEADLINE)


def _refused(sidecar: subprocess.Popen[str]) -> bool:
    """Wait for its greeting, or for its end without one."""
    assert sidecar.stdout
    return GREETING.search(sidecar.stdout.readline()) is None


@pytest.mark.timeout(60)
def test_of_two_folders_on_one_port_one_has_it_and_the_other_tells_it_as_external(
    chance: Chance, tmp_path: Path
) -> None:
    bed = require(ollama)
    with Place(tmp_path / "one", bed.executable) as one, Place(tmp_path / "two", bed.executable) as two:
        two.port, two.url = one.port, one.url
        for _ in range(FEW_ROUNDS):
            places = [one, two]
            assert [place.status()["state"] for place in places] == ["stopped", "stopped"]
            with ThreadPoolExecutor(2) as pool:
                delays = [chance.random.uniform(0, JITTER_SECONDS) for _ in places]
                answers = list(pool.map(_start_after, places, delays))
            assert sorted(answer.status for answer in answers) == [200, 409], [answer.body for answer in answers]
            winner, loser = places if answers[0].status == 200 else reversed(places)
            _wait_for(loser, "external")
            assert winner.status()["pid"] == loser.status()["pid"] == _listener(one)
            assert loser.post("stop").status == 409
            assert winner.status()["running"] is True
            assert winner.post("stop").status == 200
            assert not listens(one.port)
            for place in places:
                _wait_for(place, "stopped", "failed")
                place.post("stop")
