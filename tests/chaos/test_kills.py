"""SIGKILL of anyone at any time: what is left agrees within 2 s, and the next start works."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.chaos.conftest import Chance
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until
from tests.chaos.rounds import drawn, explained, kill_round, start_again, wish


@pytest.mark.timeout(0)  # as many rounds as were asked for, each with deadlines of its own
@pytest.mark.parametrize("kind", ["bare", "wrapped"])
def test_after_any_kill_of_a_real_ollama_all_agrees_and_the_next_start_works(
    kind: str, chance: Chance, tmp_path: Path
) -> None:
    bed = require(ollama)
    copy_models(tmp_path / "models")
    with Place(tmp_path, bed.executable if kind == "bare" else bed.wrapped) as place:
        for number, (state, victim) in enumerate(drawn(chance, chance.rounds * 2 // 5)):
            with explained(place, f"round {number}: {victim} killed while {state}"):
                kill_round(place, state, victim, chance.random)
                start_again(place, state, victim)


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
        asked = wish(place, "start", until_heard)
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
