"""What the connections cost us while nothing happens on them."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from api.app import build
from api.connection import FIRST_REQUEST_SECONDS
from api.server import listening
from core.supervisor import Supervisor
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


def test_a_server_that_nobody_talks_to_sleeps_until_somebody_does(tmp_path: Path) -> None:
    """However many hold a connection: nobody is looked at before its time can be over."""
    watched = Watched()

    def visit(url: str) -> None:
        watched.until(lambda sleep: sleep is None)
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)) as kept:
            for _ in range(2):
                kept.request("GET", "/healthz")
                assert kept.getresponse().read()
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
                watched.until(lambda sleep: sleep is not None and sleep > FIRST_REQUEST_SECONDS - DEADLINE)
        watched.until(lambda sleep: sleep is None)

    async def serve() -> None:
        rig = Rig(tmp_path, "ollama")
        async with listening(build(Supervisor(rig.paths), rig.paths), "127.0.0.1", 0) as url:
            await asyncio.to_thread(visit, url)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(watched)) as runner:
        runner.run(serve())
