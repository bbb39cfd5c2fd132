"""SIGKILL of anyone at any time: what is left agrees within 2 s, no line is lost, and the next start works."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from random import Random

import psutil
import pytest

from core.shim import EXITED, SHIM_KILLED
from tests import fake_ollama
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.wire import Answer
from tests.chaos.conftest import Chance
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until
from tests.rig import lives

# From the moment a victim is there to its kill, while a wish is being fulfilled: as long as that takes the real Ollama.
STARTING_SECONDS, STOPPING_SECONDS = 0.08, 0.04
SURELY_READ = 100
"""So many lines, one a millisecond at most, later a line has surely been read by the shim and written by it."""

Find = Callable[[Place], list[psutil.Process]]
VICTIMS: dict[str, Find] = {
    "shim": Place.shims,
    "guard": Place.guards,
    "ollama": lambda place: [one for one in place.ollamas() if (record := place.record()) and one.pid == record.pid],
    "server": lambda place: place.ollamas()[-1:],
    "runner": Place.runners,
    # What ending them by their common command line would do.
    "watchers": lambda place: [*place.guards(), *place.shims()],
}
KILLS = [
    *((state, "sidecar") for state in ("stopped", "starting", "running", "generating", "stopping", "backoff")),
    *itertools.product(("starting", "running", "stopping"), ("shim", "guard", "watchers", "ollama", "server")),
    *(("generating", victim) for victim in VICTIMS),
]
# The stand-in that counts its lines has no model.
COUNTED_KILLS = [(state, victim) for state, victim in KILLS if state != "generating"]


@pytest.mark.timeout(0)  # as many rounds as were asked for, each with deadlines of its own
@pytest.mark.parametrize("kind", ["bare", "wrapped"])
def test_after_any_kill_of_a_real_ollama_all_agrees_and_the_next_start_works(
    kind: str, chance: Chance, tmp_path: Path
) -> None:
    bed = require(ollama)
    copy_models(tmp_path / "models")
    with Place(tmp_path, bed.executable if kind == "bare" else bed.wrapped) as place:
        for number, (state, victim) in enumerate(_drawn(chance, chance.rounds * 2 // 5)):
            with _explained(place, f"round {number}: {victim} killed while {state}"):
                _round(place, state, victim, chance.random)
                _start_again(place, state, victim)


@pytest.mark.timeout(0)  # as above
def test_no_line_that_ollama_wrote_before_a_kill_is_lost(chance: Chance, tmp_path: Path) -> None:
    """It prints without a pause. What a killed shim had not yet read, a tenth of a second at most, may be lost."""
    count = tmp_path / "count"
    # Deaf to the polite request, so that a stop takes a while.
    program = fake_ollama.install(tmp_path / "bin", FAKE_COUNT=str(count), FAKE_IGNORE_TERM="1")
    with Place(tmp_path, program, {"stopTimeout": 0.1}) as place:
        for number, (state, victim) in enumerate(_drawn(chance, chance.rounds // 5, COUNTED_KILLS)):
            with _explained(place, f"round {number}: {victim} killed while {state}"):
                _counted_round(place, count, state, victim, chance.random)


@pytest.mark.timeout(60)  # several starts, until one is caught early enough
def test_a_start_whose_sidecar_was_killed_in_the_middle_is_waited_for_and_adopted(tmp_path: Path) -> None:
    bed = require(ollama)
    with Place(tmp_path, bed.executable) as place:
        while not _is_caught_before_its_record(place):
            place.post("stop")
        place.kill_sidecar()
        # It serves already, and waits with the first status.
        assert place.sidecar.url
        for shim in place.shims():
            shim.resume()
        wait_until(lambda: place.status()["running"], "an answer", within=5.0)
        status = place.status()
        assert (status["state"], status["adopted"]) == ("running", True)
        settle(place)


def _is_caught_before_its_record(place: Place) -> bool:
    """Begin a start and stop its shim by SIGSTOP; whether that was before it had written its record."""
    with ExitStack() as until_heard:
        asked = _wish(place, "start", until_heard)
        wait_until(place.shims, "a shim")
        (shim,) = place.shims()
        shim.suspend()
        if not list(place.paths.run.glob("*.spec.json")):
            shim.resume()
            return False
        # The wish has no answer any more once the sidecar is killed.
        place.sidecar.process.kill()
        asked.exception(30)
        return True


def _drawn(chance: Chance, rounds: int, kinds: Sequence[tuple[str, str]] = KILLS) -> Iterator[tuple[str, str]]:
    """Every kill before any comes again."""
    left = rounds
    while left > 0:
        kills = chance.random.sample(kinds, len(kinds))
        yield from kills[:left]
        left -= len(kills)


@contextmanager
def _explained(place: Place, what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        with suppress(OSError):
            error.add_note("\n".join(place.newest_log()[-12:])[-4000:])
        raise


def _round(place: Place, state: str, victim: str, random: Random) -> None:
    """One kill, until everything agrees."""
    with ExitStack() as until_settled:
        asked = _reach(place, state, until_settled)
        before = place.record()
        if asked:
            wait_until(lambda: asked.done() or victim == "sidecar" or VICTIMS[victim](place), "a victim or an answer")
            time.sleep(random.uniform(0.0, STARTING_SECONDS if state == "starting" else STOPPING_SECONDS))
        _kill(place, victim)
        until_settled.close()
        settle(place)
        if state in ("running", "generating"):
            _outcome(place, victim, is_same_run=place.record() == before)


def _reach(place: Place, state: str, until_settled: ExitStack) -> Future[Answer] | None:
    """Bring the place into the state; what goes on in it ends with the stack. Returns the wish in flight, if any."""
    place.configure(restartOnCrash=state == "backoff")
    if state in ("stopped", "starting", "backoff"):
        place.post("stop")
    if state not in ("stopped", "starting"):
        place.start()
    match state:
        case "starting":
            return _wish(place, "start", until_settled)
        case "stopping":
            return _wish(place, "stop", until_settled)
        case "generating":
            until_settled.enter_context(place.generating())
        case "backoff":
            VICTIMS["ollama"](place)[0].kill()
            wait_until(lambda: place.status()["state"] == "backoff", "backoff")
    return None


def _wish(place: Place, wish: str, until_settled: ExitStack) -> Future[Answer]:
    pool = until_settled.enter_context(ThreadPoolExecutor(1))
    asked = pool.submit(place.post, wish)
    until_settled.callback(_heard, asked)
    return asked


def _heard(asked: Future[Answer]) -> None:
    # A sidecar that is killed leaves it without an answer; what any other answer promises is looked at by its effect.
    with suppress(OSError, HTTPException):
        asked.result(30)


def _kill(place: Place, victim: str) -> None:
    """SIGKILL it; in the middle of a start or a stop there may be nobody to kill yet, or any more."""
    if victim == "sidecar":
        place.kill_sidecar()
        return
    victims = VICTIMS[victim](place)
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    # Until then all is as it was before, and agrees.
    wait_until(lambda: not any(lives(process) for process in victims), "their end")


def _outcome(place: Place, victim: str, *, is_same_run: bool) -> None:
    """How a run ended whose victim was surely there: only the end of the shim or of Ollama is one."""
    record = place.record()
    assert record is not None
    expected = {"shim": SHIM_KILLED, "watchers": SHIM_KILLED, "ollama": EXITED, "server": EXITED}.get(victim)
    assert record.reason == expected
    assert is_same_run == (expected is None)
    if victim == "ollama":
        assert record.exit_code == -9


def _start_again(place: Place, state: str, victim: str) -> None:
    # The same start is not tried again within 10 s, and an Ollama may never find out that its runner is gone.
    if state == "starting" or victim == "runner":
        place.post("stop")
    place.start()
    settle(place)


def _counted_round(place: Place, count: Path, state: str, victim: str, random: Random) -> None:
    count.unlink(missing_ok=True)
    if state != "running":
        _round(place, state, victim, random)
        _start_again(place, state, victim)
        return
    place.post("stop")
    place.start()
    read = _written(count)
    wait_until(lambda: _written(count) >= read + SURELY_READ, "more lines")
    written = _written(count)
    _round(place, state, victim, random)
    _is_whole(place.said(), read if victim in ("shim", "watchers") else written)
    _start_again(place, state, victim)


def _written(count: Path) -> int:
    try:
        return int(count.read_bytes() or b"0")
    except FileNotFoundError:
        return 0


def _is_whole(said: list[str], least: int) -> None:
    """All lines from the first on are there, in order, `least` and perhaps more."""
    counted = [line for line in said if line[:10].isdigit()]
    assert len(counted) >= least
    for number, line in enumerate(counted):
        assert line == fake_ollama.plain_line(number).decode().rstrip("\n")
