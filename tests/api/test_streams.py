"""Streams over real HTTP: what they bear, who gets one, how they end, and what readers cost that do not read."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from api.http.pool import MOST_CONNECTIONS
from api.http.streams import COMMENT_SECONDS, MOST_STREAMS, SLOW_SECONDS
from core.logs.tail import tail
from tests import fake_ollama, tied
from tests.api.serving import Served, serving, speak
from tests.api.streaming import DEADLINE, all_streams, assert_refused, curled, memory, reading, warm_memory
from tests.api.test_server import Place
from tests.beds.sse import ServerEvent, server_events
from tests.rig import Rig

STREAM = "/api/ollama/logs/stream"
LINE = b"[OUT] 2024-01-01 00:00:00 "


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A stand-in that would start at once, and a folder for its logs."""
    made = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    made.paths.logs.mkdir(parents=True)
    return made


def put(rig: Rig, *lines: bytes, name: str = "20240101-000000") -> None:
    """Write lines to the end of a log."""
    with (rig.paths.logs / f"ollama-{name}.log").open("ab") as log:
        log.writelines(LINE + line + b"\n" for line in lines)


async def lines_of(events: AsyncIterator[ServerEvent], count: int) -> list[ServerEvent]:
    """The next `count` lines of the log."""
    found: list[ServerEvent] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            event = await anext(events)
            found += [event] if event.type == "message" else []
    return found


async def test_the_last_lines_come_and_then_new_ones_and_whoever_comes_back_misses_none_and_gets_none_twice(
    rig: Rig,
) -> None:
    put(rig, b"1", b"2", b"3")
    async with serving(rig) as served:
        async with reading(served, f"{STREAM}?from=2") as events:
            first = await anext(events)
            assert (first.type, first.last_id) == ("place", f"20240101-000000.0.{len(LINE) + 2}")
            assert [event.data[-1] for event in await lines_of(events, 2)] == ["2", "3"]
            await asyncio.to_thread(put, rig, b"4")
            last = (await lines_of(events, 1))[0]
            assert last.data == f"{LINE.decode()}4"
        await asyncio.to_thread(put, rig, b"5")
        await asyncio.to_thread(put, rig, b"6", name="20240102-000000")
        async with reading(served, f"{STREAM}?from=2", last.last_id) as events:
            assert [event.data[-1] for event in await lines_of(events, 2)] == ["5", "6"]


async def test_a_start_is_followed_from_its_first_line_on(rig: Rig) -> None:
    async with serving(rig) as served, reading(served, f"{STREAM}?from=0") as events:
        assert (await anext(events)).type == "place"
        await served.supervisor.start()
        found = await lines_of(events, 1)
        assert found[0].data == (await asyncio.to_thread(tail, str(rig.paths.logs), 10_000))[0]


async def test_what_was_pruned_is_told_and_the_stream_goes_on(rig: Rig) -> None:
    put(rig, b"kept", name="20240102-000000")
    async with serving(rig) as served, reading(served, STREAM, "20240101-000000.3.500") as events:
        gap = await anext(events)
        assert (gap.type, gap.json["type"]) == ("gap", "gap")
        assert (await lines_of(events, 1))[0].data == f"{LINE.decode()}kept"


async def test_no_line_of_the_log_can_pass_for_more_than_a_line(rig: Rig) -> None:
    put(rig, b"a\rid: 1\rdata: b\r\rdata: c", b"\xff\xfe", "\u2028\x85".encode())
    async with serving(rig) as served, reading(served, STREAM) as events:
        found = await lines_of(events, 3)
    assert [event.data.removeprefix(LINE.decode()) for event in found] == [
        "a\\x0did: 1\\x0ddata: b\\x0d\\x0ddata: c",
        "\ufffd\ufffd",
        "\u2028\x85",
    ]


@pytest.mark.parametrize(
    ("query", "last", "named"),
    [
        ("?from=-1", "", "from"),
        ("?from=10001", "", "from"),
        ("?from=x", "", "from"),
        ("?from=1&from=2", "", "from"),
        ("", "7", "Last-Event-ID"),
        ("", "20240101-000000.0", "Last-Event-ID"),
        ("", "../../etc/passwd.0.0", "Last-Event-ID"),
    ],
)
async def test_what_cannot_be_used_is_refused_before_a_stream_begins(
    rig: Rig, query: str, last: str, named: str
) -> None:
    async with serving(rig) as served:
        await assert_refused(served, STREAM + query, last, named)


async def test_a_stream_bears_what_every_answer_bears_from_its_head_on(rig: Rig) -> None:
    origin = "http://localhost:5173"
    async with serving(rig) as served:
        headers = {"Origin": origin, "X-Correlation-ID": "abc-1"}
        for method in ("GET", "HEAD"):
            async with served.http.request(method, STREAM, headers=headers) as response:
                assert response.status == 200
                assert response.content_type == "text/event-stream"
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["X-Correlation-ID"] == "abc-1"
                assert response.headers["Access-Control-Allow-Origin"] == origin
                assert response.headers["Access-Control-Expose-Headers"].startswith("X-Correlation-ID, ")
                assert response.headers["Vary"] == "Origin"
                assert response.headers["Server"] == "aura-ollama"


async def test_http_1_0_gets_a_stream_that_ends_with_its_connection(rig: Rig) -> None:
    put(rig, b"old client")
    async with serving(rig) as served:
        asked = asyncio.create_task(
            speak(served.port, f"GET {STREAM} HTTP/1.0\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode(), within=1)
        )
        answer = await asked
    assert b"\r\nConnection: keep-alive" not in answer
    assert b"chunked" not in answer
    assert b"data: " + LINE + b"old client\n\n" in answer


async def test_a_reader_that_leaves_ends_its_stream_at_once_and_without_a_word_in_our_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """However it leaves: before the head, in silence, or with a reset in the midst of what it is sent."""
    caplog.set_level(logging.INFO)
    put(rig, *[b"x" * 1000] * 3000)
    request = f"GET {STREAM}?from=10000 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"
    async with serving(rig) as served:
        # Whoever is refused beyond the limit would show that others still hold their place.
        for number in range(3 * MOST_STREAMS):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write((request % served.port).encode())
            if number % 3:
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head.partition(b"\r\n")[0], head
            if number % 3 == 2:
                own = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.close()
        await _no_streams(served)
    # Whoever has left before it could be asked who it was, is refused, and that is told as of any call.
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


async def _no_streams(served: Served) -> None:
    """Return once as many streams can be opened as there may be."""
    async with asyncio.timeout(DEADLINE):
        while True:
            async with AsyncExitStack() as stack:
                answers = [
                    await stack.enter_async_context(served.http.get(f"{STREAM}?from=0")) for _ in range(MOST_STREAMS)
                ]
                if all(answer.status == 200 for answer in answers):
                    return


async def test_there_are_32_streams_at_most_and_one_that_ends_makes_room(rig: Rig) -> None:
    async with serving(rig) as served, AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            await first.enter_async_context(reading(served, STREAM))
            for _ in range(MOST_STREAMS - 1):
                await stack.enter_async_context(reading(served, STREAM))
            async with served.http.get(STREAM) as response:
                body = await response.json()
                assert (response.status, body["code"]) == (429, "too_many_streams")
                assert int(response.headers["Retry-After"]) > 0
        async with asyncio.timeout(DEADLINE):
            status = 429
            while status == 429:
                async with served.http.get(STREAM) as response:
                    status = response.status
        assert status == 200


async def test_a_crowd_of_callers_cuts_no_stream_off(rig: Rig) -> None:
    """A stream reads as long as it lives, and so would always be the one that has read longest."""
    async with serving(rig) as served, reading(served, STREAM) as events:
        assert (await anext(events)).type == "place"
        async with AsyncExitStack() as crowd:
            for _ in range(MOST_CONNECTIONS + 50):
                _, writer = await asyncio.open_connection("127.0.0.1", served.port)
                crowd.callback(writer.close)
                writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
            await asyncio.to_thread(put, rig, b"still there")
            assert (await lines_of(events, 1))[0].data.endswith("still there")


async def test_the_end_of_the_sidecar_is_told_and_is_not_held_up_by_its_streams(rig: Rig) -> None:
    """Not even by one that does not read."""
    put(rig, *[b"x" * 1000] * 9000)
    last = None
    with Place(rig.root).sidecar() as sidecar, socket.socket() as stuck:
        async with aiohttp.ClientSession(sidecar.url) as http, http.get(f"{STREAM}?from=0") as response:
            events = server_events(response)
            await anext(events)
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            port = int(sidecar.url.rpartition(":")[2])
            await asyncio.to_thread(stuck.connect, ("127.0.0.1", port))
            stuck.sendall(f"GET {STREAM}?from=9000 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            await asyncio.to_thread(stuck.recv, 100)
            began = asyncio.get_running_loop().time()
            ending = asyncio.create_task(asyncio.to_thread(sidecar.stop))
            async with asyncio.timeout(DEADLINE):
                async for event in events:
                    last = event
            await ending
            # Each handler that does not end by itself would be waited for as long as that.
            assert asyncio.get_running_loop().time() - began < tied.seconds(2.0)
    assert last is not None
    assert (last.type, last.json["reason"]) == ("end", "closing")


# The deadlines themselves are what is tested.
@pytest.mark.timeout(COMMENT_SECONDS + 15)
async def test_silence_is_broken_by_a_comment_and_a_reader_that_does_not_read_is_cut_off_with_a_word(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(rig, *[b"x" * 1000] * 9000)
    async with serving(rig) as served:

        async def silence() -> float:
            async with reading(served, f"{STREAM}?from=0") as events:
                assert (await anext(events)).type == "place"
                began = asyncio.get_running_loop().time()
                assert (await anext(events)).type == "comment"
                return asyncio.get_running_loop().time() - began

        async def slow() -> tuple[bytes, int]:
            """Read nothing until the sidecar must have given up, and then what is there."""
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
            writer.write(f"GET {STREAM}?from=9000 HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n".encode())
            try:
                await reader.readuntil(b"\r\n\r\n")
                async with asyncio.timeout(SLOW_SECONDS + 5):
                    while caplog.text.count("was not read") == 0:
                        await asyncio.sleep(0.05)
                rest = await reader.read(-1)
            finally:
                writer.close()
            return rest, len(rest)

        quiet, (rest, size) = await asyncio.gather(silence(), slow())
        async with served.http.get("/healthz") as response:
            assert response.status == 200
    assert COMMENT_SECONDS - 1 < quiet < COMMENT_SECONDS + 3
    # It gets what had been sent, whole events, and then the word; nothing like the nine megabytes.
    assert size < 3 << 20
    text = rest.decode()
    assert re.search(r'event: end\ndata: \{[^\n]*"reason": "slow"[^\n]*\}\n\n\r\n0\r\n\r\n$', text), text[-300:]


@tied.linux("calls the system's curl")
def test_curl_reads_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    logs = tmp_path / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True)
    (logs / "ollama-20240101-000000.log").write_bytes(LINE + b"for curl\n")
    with place.sidecar() as sidecar:
        told = curled(f"{sidecar.url}{STREAM}?from=1")
    assert f"data: {LINE.decode()}for curl\n\n" in told
    assert "Traceback" not in sidecar.errors.read_text()


@tied.linux("measures the memory of a process as Linux counts it")
@pytest.mark.timeout(60)  # a hundred megabytes are read by some, on two busy cores
async def test_32_readers_and_a_hundred_megabytes_of_log_cost_less_than_30_mb(tmp_path: Path) -> None:
    """Half of them read all of it, and the others nothing."""
    place = Place(tmp_path)
    logs = tmp_path / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True)
    block = (LINE + b"x" * 100 + b"\n") * 10_000
    for number in range(7):
        name = f"ollama-20240101-000000{f'.{number:03}' if number else ''}.log"
        (logs / name).write_bytes(block * 12)
    with place.sidecar() as sidecar:
        pid = sidecar.process.pid
        before = most = await warm_memory(sidecar.url, pid)

        async def read_much(reader: asyncio.StreamReader) -> None:
            size = 0
            while size < 12 << 20:
                size += len(await reader.read(1 << 18))

        async with all_streams(sidecar.url, STREAM, "20240101-000000.0.0") as readers:
            working = [asyncio.create_task(read_much(reader)) for reader in readers[::2]]
            while not all(task.done() for task in working):
                most = max(most, memory(pid))
                await asyncio.sleep(0.02)
            await asyncio.gather(*working)
    assert most - before < 30 << 20
