"""What the connections cost us while nothing happens on them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.app import build
from api.http.connection import FIRST_REQUEST_SECONDS, UNREAD_SECONDS
from api.server import listening
from core.sidecar import Sidecar
from tests import tied
from tests.rig import Rig

DEADLINE = tied.seconds(5.0)


class Watched(selectors.SelectSelector):
    """Knows for how long its loop is going to sleep, None without an end, if nothing comes in."""

    def __init__(self) -> None:
        super().__init__()
        self._sleep: float | None = 0.0
        self._changed = threading.Condition()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        with self._changed:
            self._sleep = timeout
            self._changed.notify_all()
        return super().select(timeout)

    def until(self, fits: Callable[[float | None], bool]) -> None:
        """Return once the loop means to sleep for so long; AssertionError with what it does after 5 s."""
        with self._changed:
            assert self._changed.wait_for(lambda: fits(self._sleep), DEADLINE), self._sleep


def visited(root: Path, visit: Callable[[str, Watched], None]) -> None:
    """Serve on a loop that is watched, and does nothing else, until the visit, in a thread, is over."""
    watched = Watched()
    rig = Rig(root, "ollama")

    async def serve() -> None:
        async with listening(build(Sidecar(rig.paths)), "127.0.0.1", 0) as url:
            await asyncio.to_thread(visit, url, watched)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(watched)) as runner:
        runner.run(serve())


def ask(caller: socket.socket, path: str) -> None:
    """A call, whose answer is left to be read."""
    port = caller.getpeername()[1]
    caller.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())


def read_answer(caller: socket.socket) -> None:
    """One answer of few bytes."""
    assert caller.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def connected(url: str) -> socket.socket:
    """A caller that takes little of an answer before it reads."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.settimeout(DEADLINE)
    caller.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    return caller


def test_a_server_that_nobody_talks_to_sleeps_until_somebody_is_overdue(tmp_path: Path) -> None:
    def visit(url: str, watched: Watched) -> None:
        watched.until(lambda sleep: sleep is None)
        with connected(url) as kept:
            watched.until(lambda sleep: sleep is not None and 5 < sleep <= FIRST_REQUEST_SECONDS)
            ask(kept, "/healthz")
            read_answer(kept)
            watched.until(lambda sleep: sleep is not None and sleep > UNREAD_SECONDS)
            with connected(url):
                watched.until(lambda sleep: sleep is not None and 5 < sleep <= FIRST_REQUEST_SECONDS)
            watched.until(lambda sleep: sleep is not None and sleep > UNREAD_SECONDS)
        watched.until(lambda sleep: sleep is None)

    visited(tmp_path, visit)


@tied.linux("how much of an answer the system takes differs")
def test_an_answer_that_is_left_unread_has_its_deadline_however_old_the_connection_is(tmp_path: Path) -> None:
    logs = tmp_path / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True)
    (logs / "ollama-20240101-000000.log").write_bytes((b"[OUT] 2024-01-01 00:00:00 " + b"x" * 1500 + b"\n") * 10_000)

    def visit(url: str, watched: Watched) -> None:
        with connected(url) as kept:
            ask(kept, "/healthz")
            read_answer(kept)
            watched.until(lambda sleep: sleep is not None and sleep > UNREAD_SECONDS)
            ask(kept, "/api/ollama/logs?maxLines=10000")
            watched.until(lambda sleep: sleep is not None and FIRST_REQUEST_SECONDS < sleep <= UNREAD_SECONDS)

    visited(tmp_path, visit)


async def test_a_body_in_chunks_of_one_byte_does_not_hold_the_loop(tmp_path: Path) -> None:
    """No turn of the loop takes more than 50 ms of processor time, however many bytes come in at once."""
    longest = 0.0
    rig = Rig(tmp_path, "ollama")

    async def measure() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    def send(port: int) -> None:
        head = [
            "POST /api/ollama/stop HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Content-Type: application/json",
            "Transfer-Encoding: chunked",
        ]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), DEADLINE) as caller:
            caller.sendall("\r\n".join([*head, "", ""]).encode())
            for _ in range(100):
                caller.sendall(b"1\r\n \r\n" * 20_000)

    gc.freeze()
    try:
        async with listening(build(Sidecar(rig.paths)), "127.0.0.1", 0) as url:
            measuring = asyncio.create_task(measure())
            await asyncio.gather(*(asyncio.to_thread(send, int(url.rpartition(":")[2])) for _ in range(3)))
            measuring.cancel()
    finally:
        gc.unfreeze()
    assert longest < tied.seconds(0.05)
