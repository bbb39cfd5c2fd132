"""A stranger on Ollama's port that answers without measure: every other call goes on, and no answer is a fault."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import tied
from tests.api.test_server import Place, status_once
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
        status_once(sidecar, lambda status: status["running"] is True)
        over = threading.Event()
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            health = pool.submit(slowest, sidecar, "/healthz", over)
            asked = [pool.submit(get, sidecar, "/api/ollama/models") for _ in range(CALLERS)]
            answers = [answer.result() for answer in asked]
            over.set()
        assert {answer.status for answer in answers} == {200}
        # What is beyond the limit is left out, and nobody was told less because so many asked.
        assert {(body["count"], body["error"]) for body in (answer.json for answer in answers)} == {(10_000, None)}
        assert health.result() < MOST_SECONDS


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tags", models(3, "9" * 309)),
        ("/api/tags", models(3, "-1")),
        ("/api/tags", models(3, "1e400")),
        ("/api/tags", models(3, "null")),
        ("/api/tags", models(3).replace(b"model-", b"x" * 100_000)),
        ("/api/tags", models(3).replace(b"model-", rb"\ud800\udfff\u0000")),
        ("/api/tags", models(3).replace(b"2025", b"x" * 100_000)),
        ("/api/ps", models(50_000)),
        ("/api/version", b'{"version": "%s"}' % (b"7" * 7_000_000)),
        ("/api/version", rb'{"version": "\ud800"}'),
        ("/api/version", b'{"version": 1}'),
    ],
    ids=lambda value: value[:40].decode() if isinstance(value, bytes) else None,
)
def test_whatever_it_answers_no_answer_of_ours_is_a_fault_or_without_bounds(
    tmp_path: Path, path: str, body: bytes
) -> None:
    place = Place(tmp_path)
    with place.sidecar() as sidecar, stranger(place.port, {path: body}):
        for ours in ("status", "models") * 3:
            answer = get(sidecar, f"/api/ollama/{ours}")
            assert answer.status == 200
            assert len(answer.body) < MOST_BYTES
            listed = answer.json.get("models", [])
            assert isinstance(listed, list)
            assert all(0 <= model["sizeBytes"] < 2**63 for model in listed)
