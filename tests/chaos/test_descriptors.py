"""A sidecar that has no file descriptor left: it says so rather than anything untrue, and all is well afterwards."""

from __future__ import annotations

import itertools
import json
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from core.ollama.probe import PROBE_SECONDS
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.wire import JsonObject, call
from tests.chaos.invariants import settle
from tests.chaos.place import Place, wait_until
from tests.rig import lives

assert sys.platform == "linux"

pytestmark = pytest.mark.timeout(60)  # a stop without descriptors takes its time to give up
IDLE = 500
RECOVERY_SECONDS = 5.0


Ask = Callable[[str, str], JsonObject]


@contextmanager
def _line(place: Place) -> Iterator[Ask]:
    """Asks over one connection to the sidecar, opened in good time and kept until the block ends."""
    with closing(HTTPConnection(place.sidecar.url.removeprefix("http://"), timeout=30)) as connection:

        def ask(method: str, what: str) -> JsonObject:
            connection.request(method, f"/api/ollama/{what}", headers={"Content-Type": "application/json"})
            answer: JsonObject = json.loads(connection.getresponse().read())
            return answer

        assert ask("GET", "status")["state"]
        yield ask


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place with the real Ollama, whose sidecar stands and has its descriptors back at the end."""
    bed = require(ollama)
    with Place(tmp_path, bed.executable, {"stopTimeout": 1.0}) as place:
        place.start()
        place.post("stop")
        before = _descriptors(place)
        yield place
        place.post("stop")
        wait_until(lambda: _descriptors(place) <= before, f"{before} descriptors", within=RECOVERY_SECONDS)
        place.start()
        settle(place)


def _descriptors(place: Place) -> int:
    return psutil.Process(place.sidecar.process.pid).num_fds()


@contextmanager
def _left(place: Place, count: int | None) -> Iterator[None]:
    """Let the sidecar open `count` descriptors more than it has, and as many as ever after the block.

    With None it can open none at all, not even in the place of one that it closes.
    """
    pid = place.sidecar.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # The limit is for the numbers, of which each new descriptor takes the lowest that is free.
    taken = {int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    limit = 0 if count is None else next(itertools.islice(free, count, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_running_ollama_is_never_told_as_gone(place: Place) -> None:
    pid = place.start()
    with _line(place) as ask:
        family = place.processes()
        for count in range(0, 12, 2):
            with _left(place, count):
                for what in ("status", "logs", "models", "status"):
                    answer = ask("GET", what)
                    if what == "status":
                        assert (answer["running"], answer["managedByApp"], answer["pid"]) == (True, True, pid), count
                assert ask("POST", "start").get("code") in (None, "spawn_failed"), count
                assert all(lives(process) for process in family), count
            wait_until(lambda: place.status()["error"] is None, "an answer", within=RECOVERY_SECONDS)
            settle(place)
    assert place.status()["pid"] == pid


def test_an_ollama_that_cannot_be_reached_for_want_of_a_descriptor_is_not_told_as_gone(place: Place) -> None:
    pid = place.start()
    (server,) = place.ollamas()
    with _line(place) as ask:
        server.suspend()
        with _left(place, None):
            # Probes that time out cost the sidecar its connection to Ollama, and it gets no other.
            wait_until(
                lambda: int(str(ask("GET", "status")["ageMs"])) > 2 * PROBE_SECONDS * 1000, "two timed-out probes"
            )
            server.resume()
            for _ in range(10):
                status = ask("GET", "status")
                assert (status["running"], status["pid"], status["error"]) == (True, pid, "Connection timeout")
            refusal = ask("POST", "start")
            assert (refusal["code"], "Too many open files" in str(refusal["message"])) == ("spawn_failed", True)
        wait_until(lambda: ask("GET", "status")["error"] is None, "an answer", within=RECOVERY_SECONDS)
    settle(place)


def test_a_start_works_or_says_why_not(place: Place) -> None:
    with _line(place) as ask:
        outcomes = set()
        for count in (None, *range(0, 16, 2)):
            with _left(place, count):
                answer = ask("POST", "start")
                if answer["success"] is not True:
                    assert answer["code"] == "spawn_failed", count
                    assert "Too many open files" in str(answer["message"])
                    assert "many files open" in str(answer["action"])
            outcomes.add(answer["success"])
            settle(place)
            assert place.status()["running"] is answer["success"], count
            place.post("stop")
    assert outcomes == {True, False}


def test_a_stop_works_or_says_why_not(place: Place) -> None:
    with _line(place) as ask:
        outcomes = set()
        for count in (None, 0, 1, 2, 3):
            place.start()
            with _left(place, count):
                answer = ask("POST", "stop")
                if answer["success"] is not True:
                    assert answer["code"] == "stop_failed", count
                    assert "Too many open files" in str(answer["message"])
            outcomes.add(answer["success"])
            settle(place)
            assert place.status()["running"] is not answer["success"], count
    assert outcomes == {True, False}


def test_an_external_ollama_is_never_told_as_gone(place: Place, tmp_path: Path) -> None:
    with OllamaServer(tmp_path / "theirs", port=place.port) as server:
        wait_until(lambda: place.status()["state"] == "external", "external")
        with _line(place) as ask, _left(place, 0):
            for _ in range(5):
                status = ask("GET", "status")
                assert (status["running"], status["state"], status["pid"]) == (True, "external", server.pid)
                assert ask("POST", "start")["code"] in ("already_running", "spawn_failed")
    wait_until(lambda: place.status()["state"] == "stopped", "its end", within=RECOVERY_SECONDS)


def test_idle_connections_beyond_the_limit_harm_nobody_for_longer_than_they_last(place: Place) -> None:
    pid = place.start()
    with _line(place) as ask:
        host, _, port = place.sidecar.url.removeprefix("http://").partition(":")
        with _left(place, 100), ExitStack() as idle:
            for _ in range(IDLE):
                connection = idle.enter_context(socket.socket())
                connection.setblocking(False)
                # Beyond what the system queues for the sidecar, none is established before there is room.
                connection.connect_ex((host, int(port)))
            for _ in range(5):
                status = ask("GET", "status")
                assert (status["running"], status["pid"]) == (True, pid)
    assert call("GET", f"{place.sidecar.url}/api/ollama/status", timeout=RECOVERY_SECONDS).status == 200
    settle(place)
