"""Whoever is killed, each line that Ollama had written by then is in its log, once and in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from random import Random

import pytest

from core.logs.lines import clean
from core.logs.own_calls import leave_out
from tests import fake_ollama
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.wire import call
from tests.chaos.conftest import Chance
from tests.chaos.place import Place, wait_until
from tests.chaos.rounds import KILLS, drawn, explained, kill_round, start_again

SURELY_READ = 100
"""So many lines, one a millisecond at most, later a line has surely been read by the shim and written by it."""
TALKING_KILLS = [
    (state, victim) for state, victim in KILLS if state in ("running", "generating") and victim != "watchers"
]
# The stand-in that counts its lines has no model; and in backoff nobody prints until the count begins anew.
COUNTED_KILLS = [(state, victim) for state, victim in KILLS if state not in ("generating", "backoff")]


@pytest.mark.timeout(0)  # as many rounds as were asked for, each with deadlines of its own
def test_no_line_that_ollama_wrote_before_a_kill_is_lost(chance: Chance, tmp_path: Path) -> None:
    """It prints without a pause. Only where nobody is left to write may lines be lost: a shim and its guard at once."""
    count = tmp_path / "count"
    # Deaf to the polite request, so that a stop takes a while.
    program = fake_ollama.install(tmp_path / "bin", FAKE_COUNT=str(count), FAKE_IGNORE_TERM="1")
    with Place(tmp_path, program, {"stopTimeout": 0.1}) as place:
        for number, (state, victim) in enumerate(drawn(chance, chance.rounds // 5, COUNTED_KILLS)):
            with explained(place, f"round {number}: {victim} killed while {state}"):
                _counted_round(place, count, state, victim, chance.random)


@pytest.mark.timeout(0)  # as above
def test_no_line_that_a_real_ollama_wrote_before_a_kill_is_lost(chance: Chance, tmp_path: Path) -> None:
    bed = require(ollama)
    copy_models(tmp_path / "models")
    copy = tmp_path / "copy"
    with Place(tmp_path, _copied(tmp_path / "bin", bed.executable, copy)) as place:
        for number, (state, victim) in enumerate(drawn(chance, chance.rounds // 10, TALKING_KILLS)):
            with explained(place, f"round {number}: {victim} killed while {state}"):
                place.post("stop")
                copy.unlink()
                place.start()
                with _talk(place):
                    wait_until(lambda: len(_lines(copy)) > SURELY_READ, "lines")
                    written = _lines(copy)
                    kill_round(place, state, victim, chance.random)
                if victim in ("shim", "ollama", "server"):
                    written = _lines(copy)
                assert place.said()[: len(written)] == written


def _copied(folder: Path, executable: Path, copy: Path) -> Path:
    """An Ollama that tells much. What is in `copy` of it is in its pipe already: tee(1) writes in that order."""
    folder.mkdir()
    copy.touch()
    program = folder / "ollama"
    program.write_text(f'#!/bin/bash\nOLLAMA_DEBUG=1 exec {executable} "$@" > >(exec tee -a {copy}) 2>&1\n')
    program.chmod(0o755)
    return program


def _lines(copy: Path) -> list[str]:
    """What a log holds of it: all but what tells of our own calls."""
    return leave_out(clean(copy.read_bytes().rpartition(b"\n")[0] + b"\n")).decode().splitlines()


@contextmanager
def _talk(place: Place) -> Iterator[None]:
    """Have Ollama log a request after the other inside the block."""
    is_over = threading.Event()

    def ask() -> None:
        # Once it is dead nobody answers, until the next one does.
        while not is_over.wait(0.001):
            with suppress(OSError, HTTPException):
                call("GET", f"{place.url}/api/ps")

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            is_over.set()
            asking.result()


def _counted_round(place: Place, count: Path, state: str, victim: str, random: Random) -> None:
    place.post("stop")
    count.unlink(missing_ok=True)
    if state == "running":
        place.start()
        wait_until(lambda: _written(count) >= 2 * SURELY_READ, "lines")
    read = max(0, _written(count) - SURELY_READ)
    kill_round(place, state, victim, random)
    # If it lives on, it prints on.
    written = _written(count)
    if victim == "watchers":
        written = read
    wait_until(lambda: len(_counted(place)) >= written, f"{written} lines")
    for number, line in enumerate(_counted(place)):
        assert line == fake_ollama.plain_line(number).decode().rstrip("\n")
    start_again(place, state, victim)


def _counted(place: Place) -> list[str]:
    return [line for line in place.said() if line[:10].isdigit()]


def _written(count: Path) -> int:
    try:
        return int(count.read_bytes() or b"0")
    except FileNotFoundError:
        return 0
