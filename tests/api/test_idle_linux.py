"""What the sidecar costs while nobody asks it; `bench/measures/idle.py` measures the same for longer."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fake_ollama
from tests.beds.cost import busy_seconds, wake_ups
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.sidecar import READY_DEADLINE, Sidecar
from tests.beds.wire import call, free_port

assert sys.platform == "linux"

SETTLE_SECONDS = 3.0
WATCHED_SECONDS = 20.0
MOST_WAKE_UPS_A_SECOND = 6.0
MOST_OF_A_CORE = 0.005
MOST_REQUESTS = 5  # in 20 s, which are 15 a minute


def _state(sidecar: Sidecar) -> object:
    return call("GET", f"{sidecar.url}/api/ollama/status").json["state"]


@contextlib.contextmanager
def _sidecars(root: Path) -> Iterator[tuple[dict[str, int], Path]]:
    """The pids of three sidecars by what they have found, and the log of the Ollama that is not theirs."""
    executable = require(ollama).executable
    with contextlib.ExitStack() as stack:
        sidecars = {}
        for state in ("stopped", "running", "external"):
            folder = root / state
            program = fake_ollama.install(folder / "bin")
            sidecar = Sidecar(folder, executable=program, models=folder / "models", ollama_port=free_port())
            sidecars[state] = stack.enter_context(sidecar)
        url = f"{sidecars['running'].url}/api/ollama/start"
        assert call("POST", url, b"", headers={"Content-Type": "application/json"}).status == 200
        # It ends before its sidecar, of which nothing may be left then.
        theirs = OllamaServer(root / "theirs", executable=executable, port=sidecars["external"].ollama_port)
        stack.enter_context(theirs)
        # A status may be 250 ms old, or older while its look takes longer than 300 ms.
        deadline = time.monotonic() + READY_DEADLINE
        while (found := {state: _state(sidecar) for state, sidecar in sidecars.items()}) != {
            state: state for state in sidecars
        }:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        yield {state: sidecar.process.pid for state, sidecar in sidecars.items()}, theirs.log


def _requests(log: Path) -> int:
    return log.read_bytes().count(b"[GIN]")


@pytest.mark.timeout(90)  # 23 seconds are watched
def test_a_sidecar_that_nobody_asks_costs_nearly_nothing(tmp_path: Path) -> None:
    """Beside no Ollama, one of its own and somebody else's, at the same time.

    The limits are twice the target for wake-ups and five times the one for the core: a busy machine decides nothing.
    """
    with _sidecars(tmp_path) as (pids, log):
        time.sleep(SETTLE_SECONDS)
        began, asked = time.monotonic(), _requests(log)
        woken = {state: wake_ups(pid) for state, pid in pids.items()}
        busy = {state: busy_seconds(pid) for state, pid in pids.items()}
        time.sleep(WATCHED_SECONDS)
        span, asked = time.monotonic() - began, _requests(log) - asked
        each_second = {state: (wake_ups(pid) - woken[state]) / span for state, pid in pids.items()}
        of_a_core = {state: (busy_seconds(pid) - busy[state]) / span for state, pid in pids.items()}
    assert max(each_second.values()) < MOST_WAKE_UPS_A_SECOND, each_second
    assert max(of_a_core.values()) < MOST_OF_A_CORE, of_a_core
    assert 1 <= asked <= MOST_REQUESTS
