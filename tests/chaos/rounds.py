"""One kill after the other: whom, in which state, and what must hold afterwards."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from random import Random

import psutil

from core.shim.record import EXITED, SHIM_KILLED
from tests.beds.wire import Answer
from tests.chaos.conftest import Chance
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until
from tests.rig import lives

# From the moment a victim is there to its kill, while a wish is being fulfilled: as long as that takes the real Ollama.
STARTING_SECONDS, STOPPING_SECONDS = 0.08, 0.04

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


def drawn(chance: Chance, rounds: int, kinds: Sequence[tuple[str, str]] = KILLS) -> Iterator[tuple[str, str]]:
    """Every kill before any comes again."""
    left = rounds
    while left > 0:
        kills = chance.random.sample(kinds, len(kinds))
        yield from kills[:left]
        left -= len(kills)


@contextmanager
def explained(place: Place, what: str) -> Iterator[None]:
    """Have what goes wrong inside tell what it was about, and how the newest log ends."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        with suppress(OSError):
            error.add_note("\n".join(place.newest_log()[-12:])[-4000:])
        raise


def kill_round(place: Place, state: str, victim: str, random: Random) -> None:
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
            return wish(place, "start", until_settled)
        case "stopping":
            return wish(place, "stop", until_settled)
        case "generating":
            until_settled.enter_context(place.generating())
        case "backoff":
            VICTIMS["ollama"](place)[0].kill()
            wait_until(lambda: place.status()["state"] == "backoff", "backoff")
    return None


def wish(place: Place, wish: str, until_settled: ExitStack) -> Future[Answer]:
    """Post `start` or `stop`; the stack waits for the answer, which a killed sidecar does not give."""
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


def start_again(place: Place, state: str, victim: str) -> None:
    """After a round: a start works, and everything agrees."""
    # The same start is not tried again within 10 s, and an Ollama may never find out that its runner is gone.
    if state == "starting" or victim == "runner":
        place.post("stop")
    place.start()
    settle(place)
