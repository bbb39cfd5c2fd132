"""The sidecar under a service manager: what it tells it, and what the manager's signal leaves of Ollama."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from api.reporting import report
from core.platform import notify
from tests import fake_ollama
from tests.beds.ending import end
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.test_survival import Place, ended

assert sys.platform == "linux"

DEADLINE = 10.0


class Manager:
    """Listens as systemd does."""

    def __init__(self, place: Path) -> None:
        self.address = str(place)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while said := self._socket.recv(4096):
            self._heard.put(said.decode())

    def hears(self, word: str) -> str:
        """The next message that begins so."""
        while not (said := self._heard.get(timeout=DEADLINE)).startswith(word):
            pass
        return said

    def heard(self) -> list[str]:
        """All messages that came since."""
        found = []
        while not self._heard.empty():
            found.append(self._heard.get())
        return found

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path / "notify")
    yield found
    found.close()


def service(place: Place, manager: Manager) -> Sidecar:
    """A sidecar as the manager starts it, with settings by which SIGTERM would stop Ollama too."""
    return Sidecar(
        place.root,
        executable=place.executable,
        models=place.models,
        ollama_port=place.port,
        settings={"stopOnTerminate": True},
        program=(sys.executable, "-m", "api", "--service"),
        env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"},
    )


@pytest.mark.timeout(30)  # two starts of a sidecar
def test_the_manager_hears_that_it_serves_and_its_end_leaves_ollama_for_the_next_one(
    tmp_path: Path, manager: Manager
) -> None:
    environment = tmp_path / "environment.json"
    executable = fake_ollama.install(tmp_path / "bin", FAKE_ENV_FILE=str(environment))
    with ended(Place(tmp_path / "data", executable)) as place:
        first = service(place, manager).__enter__()
        try:
            assert manager.hears("READY=1") == f"READY=1\nSTATUS=Listening on {first.url}"
            manager.hears("WATCHDOG=1")
            manager.hears("WATCHDOG=1")
            pid = int(str(call("POST", f"{first.url}/api/ollama/start").json["pid"]))
            # What it starts cannot speak for it.
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & json.loads(environment.read_text()).keys()
        finally:
            code = end(first.process, DEADLINE, signal.SIGTERM)
        assert code == 0
        assert manager.hears("STOPPING=1") == "STOPPING=1"
        assert psutil.pid_exists(pid)
        second = service(place, manager).__enter__()
        try:
            manager.hears("READY=1")
            status = call("GET", f"{second.url}/api/ollama/status").json
            assert (status["adopted"], status["pid"]) == (True, pid)
        finally:
            assert end(second.process, DEADLINE, signal.SIGINT) == 0
        assert psutil.pid_exists(pid)


@pytest.mark.timeout(30)  # the starts of two sidecars
def test_a_service_that_comes_too_late_fails_and_disturbs_nobody(tmp_path: Path, manager: Manager) -> None:
    with ended(Place(tmp_path / "data", fake_ollama.install(tmp_path / "bin"))) as place, place.sidecar():
        with pytest.raises(RuntimeError, match=r"ended with 1: aura-ollama: Another sidecar serves"):
            service(place, manager).__enter__()
        assert manager.heard() == []


async def test_a_sidecar_that_does_not_answer_is_reported_no_more(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    """The socket accepts, and nobody answers: what a hung sidecar looks like from outside."""
    spoken = asyncio.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            spoken.set()

    heard = Heard()
    logging.getLogger("api.reporting").addHandler(heard)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        task = asyncio.create_task(report(notify.Manager(manager.address, watchdog=0.3), url))
        await asyncio.wait_for(spoken.wait(), DEADLINE)
        task.cancel()
        await asyncio.wait([task])
    logging.getLogger("api.reporting").removeHandler(heard)
    assert "got no answer" in caplog.text
    assert manager.hears("READY=1")
    assert manager.heard() == []


async def test_without_a_watchdog_nothing_is_asked(manager: Manager) -> None:
    await report(notify.Manager(manager.address), "http://127.0.0.1:1")
    assert manager.hears("READY=1")
