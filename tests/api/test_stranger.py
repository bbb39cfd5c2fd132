"""A stranger on Ollama's port that answers without measure: every other call goes on, and no answer is a fault."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import tied
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.stranger import models, stranger
from tests.beds.wire import Answer, call

CALLERS = 30
MOST_SECONDS = 0.5
MOST_BYTES = 10_000


def get(sidecar: Sidecar, path: str) -> Answer:
    """A look at the sidecar."""
    return call("GET", f"{sidecar.url}{path}", timeout=20)


def slowest(sidecar: Sidecar, path: str, until: threading.Event) -> float:
    """The longest that an answer took, one call after the other until told to end."""
    longest = 0.0
    while not until.is_set():
        began = time.monotonic()
        assert get(sidecar, path).status == 200
        longest = max(longest, time.monotonic() - began)
    return longest


@tied.linux("measures times, and Wine's are no system's")
@pytest.mark.timeout(60)  # the list is eight megabytes, on two busy cores
def test_a_hundred_thousand_models_for_thirty_callers_hold_nobody_up(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.sidecar() as sidecar, stranger(place.port, {"/api/tags": models(100_000)}):
        over = threading.Event()
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            health = pool.submit(slowest, sidecar, "/healthz", over)
            asked = [pool.submit(get, sidecar, "/api/ollama/models") for _ in range(CALLERS)]
            answers = [answer.result() for answer in asked]
            over.set()
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers if answer.json["error"] is None}) == 1
        assert health.result() < MOST_SECONDS
