"""Callers that say nothing, a byte now and then, or do not read: they hold nobody up, and are cut off in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from api.app import BODY_SECONDS
from api.http.connection import FIRST_REQUEST_SECONDS, UNREAD_SECONDS
from api.http.pool import MOST_CONNECTIONS, MOST_UNREAD_BYTES
from tests import tied
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call

pytestmark = tied.linux("measures times, and Wine's are no system's")

SLOW = 500
CALLS = 40
MARGIN_SECONDS = 5.0
HOARDERS = 100
STAYERS = 30
HOARD_SECONDS = 40.0
LINES = 10_000
MOST_HELD = 2 * MOST_UNREAD_BYTES // (LINES * 1500)
"""What the kernel has taken of an answer does not count as unread."""
MOST_MEMORY_BYTES = 384 << 20
"""What is unread, twice, as aiohttp keeps an answer until it is sent; and one answer in the making, several times."""
HEAD = b"POST /api/app/show HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
LOGS = b"GET /api/ollama/logs?maxLines=%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"


class Slow:
    """One such connection: what it says first, and what it goes on saying."""

    def __init__(self, first: bytes, drip: bytes) -> None:
        self.first = first
        self.drip = drip
        self.answer = b""

    async def stay(self, port: int, ready: asyncio.Semaphore) -> float:
        """Hold on until cut off. The seconds that this took."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        dripping = asyncio.create_task(self._drip(writer))
        ready.release()
        try:
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 16):
                    self.answer += part
            return time.monotonic() - began
        finally:
            dripping.cancel()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(self.first)
            while self.drip:
                await asyncio.sleep(0.5)
                writer.write(self.drip)


def kinds(port: int) -> list[Slow]:
    """Says nothing; drips a header; drips a body; drips chunks."""
    head = HEAD % port
    return [
        Slow(b"", b""),
        Slow(b"GET /healthz HTTP/1.1\r\nX: ", b"y"),
        Slow(head + b"Content-Length: 60000\r\n\r\n", b" "),
        Slow(head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ]


@asynccontextmanager
async def crowd(slow: list[Slow], port: int) -> AsyncIterator[list[asyncio.Task[float]]]:
    """All of them, connected."""
    ready = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(each.stay(port, ready)) for each in slow]
    try:
        for _ in tasks:
            await ready.acquire()
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def write_long_log(root: Path) -> None:
    """As much as one answer can hold."""
    logs = root / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "ollama-20240101-000000.log").write_bytes((b"[OUT] 2024-01-01 00:00:00 " + b"x" * 1500 + b"\n") * LINES)


def hoarder(port: int, lines: int = LINES, calls: int = 1) -> socket.socket:
    """Has asked for so much of the log, so many times, and reads nothing of it."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    caller.sendall(LOGS % (lines, port) * calls)
    return caller


def established(sidecar: Sidecar) -> int:
    """How many connections the sidecar holds."""
    held = psutil.Process(sidecar.process.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in held)


def whole_log(sidecar: Sidecar, lines: int = LINES) -> int:
    """How many lines a caller gets that asks for all, and reads them."""
    count = call("GET", f"{sidecar.url}/api/ollama/logs?maxLines={lines}", timeout=HOARD_SECONDS).json["totalLines"]
    assert isinstance(count, int)
    return count


def status_seconds(sidecar: Sidecar, calls: int = CALLS) -> list[float]:
    """How long each of so many status calls takes, each on a connection of its own."""
    spans = []
    for _ in range(calls):
        began = time.monotonic()
        assert call("GET", f"{sidecar.url}/api/ollama/status").status == 200
        spans.append(time.monotonic() - began)
    return spans


async def test_500_idle_and_dripping_connections_do_not_delay_a_status_call(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        port = int(sidecar.url.rpartition(":")[2])
        alone = await asyncio.to_thread(status_seconds, sidecar)
        slow = [kind for _ in range(SLOW // 4) for kind in kinds(port)]
        async with crowd(slow, port):
            beside = await asyncio.to_thread(status_seconds, sidecar)
            # Whoever is beyond the limit has been cut off, and whoever is at rest longest went first.
            assert established(sidecar) <= MOST_CONNECTIONS + 2
    assert statistics.median(beside) < 5 * statistics.median(alone) + 0.05, (alone, beside)
    # One that meets a full queue of the kernel's is sent again by it after a second.
    assert max(beside) < 2.5


# The deadlines themselves are what is tested.
@pytest.mark.timeout(UNREAD_SECONDS + 15)
async def test_whoever_only_holds_a_connection_is_cut_off_at_its_deadline(tmp_path: Path) -> None:
    with Place(tmp_path).sidecar() as sidecar:
        port = int(sidecar.url.rpartition(":")[2])
        slow = kinds(port)
        async with crowd(slow, port) as tasks:
            unread = asyncio.create_task(asyncio.to_thread(_hold_unread, tmp_path, sidecar, port))
            spans = await asyncio.gather(*tasks)
            for span, limit in zip(spans, [FIRST_REQUEST_SECONDS] * 2 + [BODY_SECONDS] * 2, strict=True):
                assert limit - 1 < span < limit + MARGIN_SECONDS
            assert [b" 408 " in each.answer for each in slow] == [False, False, True, True]
            assert UNREAD_SECONDS - 1 < await unread < UNREAD_SECONDS + MARGIN_SECONDS
        assert call("GET", f"{sidecar.url}/api/ollama/status").status == 200


def _hold_unread(root: Path, sidecar: Sidecar, port: int) -> float:
    """Ask for a large answer, leave it unread, and return how long the sidecar held it."""
    write_long_log(root)
    process = psutil.Process(sidecar.process.pid)
    began = time.monotonic()
    with hoarder(port) as caller:
        own = caller.getsockname()
        for is_held in (True, False):
            while any(each.raddr == own for each in process.net_connections("tcp")) is not is_held:
                assert time.monotonic() - began < UNREAD_SECONDS + MARGIN_SECONDS
                time.sleep(0.05)
        return time.monotonic() - began


# As many large answers as there are callers are made, one after the other.
@pytest.mark.timeout(HOARD_SECONDS + 20)
async def test_callers_that_ask_for_much_and_read_nothing_cost_no_memory_and_hold_nobody_up(tmp_path: Path) -> None:
    """A sweep now and then is too late, and what reads logs must not take all the threads that other calls need."""
    write_long_log(tmp_path)
    most = 0
    with Place(tmp_path).sidecar() as sidecar, contextlib.ExitStack() as callers:
        process = psutil.Process(sidecar.process.pid)
        for _ in range(HOARDERS):
            callers.enter_context(hoarder(int(sidecar.url.rpartition(":")[2])))
        async with asyncio.timeout(HOARD_SECONDS), asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(asyncio.to_thread(whole_log, sidecar)) for _ in range(3)]
            # Until all have been answered, and most of them cut off.
            while not all(reader.done() for reader in readers) or established(sidecar) > MOST_HELD:
                (span,) = await asyncio.to_thread(status_seconds, sidecar, 1)
                assert span < 2.0
                most = max(most, process.memory_info().rss)
        assert [reader.result() for reader in readers] == [LINES] * 3
    assert most < MOST_MEMORY_BYTES


# Hundreds of megabytes are read, on two busy cores.
@pytest.mark.timeout(40)
async def test_an_answer_counts_whole_until_it_is_read_and_not_only_by_what_the_kernel_has_not_taken(
    tmp_path: Path,
) -> None:
    """The kernel takes most of one that has three megabytes, and all of it stays in memory until the rest is taken."""
    write_long_log(tmp_path)
    lines = 1900
    most = 0
    with Place(tmp_path).sidecar() as sidecar, contextlib.ExitStack() as callers:
        port = int(sidecar.url.rpartition(":")[2])
        for _ in range(MOST_CONNECTIONS - 50):
            callers.enter_context(hoarder(port, lines, calls=2))
        # Logs are read one after the other: once these are, those who asked before have been answered, or held back.
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(asyncio.to_thread(lambda: [whole_log(sidecar, lines) for _ in range(6)]))
            while not reading.done():
                await asyncio.to_thread(status_seconds, sidecar, 1)
                most = max(most, psutil.Process(sidecar.process.pid).memory_info().rss)
        assert reading.result() == [lines] * 6
    assert most < MOST_MEMORY_BYTES


# Hundreds of megabytes are read, on two busy cores.
@pytest.mark.timeout(40)
async def test_whoever_has_read_a_large_answer_and_stays_costs_no_memory(tmp_path: Path) -> None:
    write_long_log(tmp_path)
    with Place(tmp_path).sidecar() as sidecar, contextlib.ExitStack() as callers:
        for _ in range(STAYERS):
            caller = HTTPConnection(sidecar.url.removeprefix("http://"), timeout=8)
            callers.callback(caller.close)
            await asyncio.to_thread(caller.request, "GET", f"/api/ollama/logs?maxLines={LINES}")
            answer = await asyncio.to_thread(caller.getresponse)
            assert len(await asyncio.to_thread(answer.read)) > LINES * 1500
        assert established(sidecar) == STAYERS
        assert psutil.Process(sidecar.process.pid).memory_info().rss < STAYERS * LINES * 1500 // 2


async def test_whoever_asked_and_has_gone_is_not_read_for(tmp_path: Path) -> None:
    write_long_log(tmp_path)
    with Place(tmp_path).sidecar() as sidecar:
        began = time.monotonic()
        assert await asyncio.to_thread(whole_log, sidecar) == LINES
        alone = time.monotonic() - began
        for _ in range(HOARDERS):
            hoarder(int(sidecar.url.rpartition(":")[2])).close()
        began = time.monotonic()
        assert await asyncio.to_thread(whole_log, sidecar) == LINES
        # Each of them would have taken as long as the one that was alone.
        assert time.monotonic() - began < HOARDERS / 10 * alone


async def test_an_answer_that_is_being_worked_on_is_waited_for(tmp_path: Path) -> None:
    """More callers than the limit come meanwhile: who has been served nothing yet and is at work is never cut off."""
    with Place(tmp_path, FAKE_LISTEN_AFTER="2").sidecar() as sidecar:
        port = int(sidecar.url.rpartition(":")[2])
        starting = asyncio.create_task(asyncio.to_thread(call, "POST", f"{sidecar.url}/api/ollama/start"))
        async with asyncio.timeout(5):
            while (await asyncio.to_thread(call, "GET", f"{sidecar.url}/api/ollama/status")).json[
                "state"
            ] != "starting":
                pass
        async with crowd([Slow(b"", b"") for _ in range(MOST_CONNECTIONS + 50)], port):
            assert (await starting).status == 200


@pytest.mark.timeout(30)
async def test_calls_that_wait_for_a_hanging_ollama_keep_nobody_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.sidecar() as sidecar, socket.create_server(("127.0.0.1", place.port), backlog=1024):
        port = int(sidecar.url.rpartition(":")[2])
        request = b"GET /api/ollama/models HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port
        async with contextlib.AsyncExitStack() as callers:
            for _ in range(MOST_CONNECTIONS + 30):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                callers.callback(writer.close)
                writer.write(request)
            for _ in range(5):
                answer = await asyncio.to_thread(call, "GET", f"{sidecar.url}/api/ollama/status")
                assert answer.status == 200
