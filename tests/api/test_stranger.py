"""A stranger on Ollama's port that answers without measure: every other call goes on, and no answer is a fault."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import tied
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.wire import Answer, call

CALLERS = 30
MOST_SECONDS = 0.5
Bodies = Mapping[str, bytes]
PLAIN = {
    "/": b"Ollama is running",
    "/api/version": b'{"version": "0.9.3"}',
    "/api/tags": b'{"models": []}',
    "/api/ps": b'{"models": []}',
}


@contextmanager
def stranger(port: int, bodies: Bodies) -> Iterator[None]:
    """Answers these paths on this port, like a real Ollama for those that are not given."""
    known = PLAIN | dict(bodies)

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = known.get(self.path.partition("?")[0], b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def models(count: int, size: str = "1") -> bytes:
    """A list of so many models, each of that size."""
    return b'{"models": [%s]}' % b",".join(
        b'{"name": "model-%06d", "size": %s, "modified_at": "2025-01-01T00:00:00+02:00"}' % (number, size.encode())
        for number in range(count)
    )


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
