"""What comes down a pull from a server that may be anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest

from core.endpoint import Endpoint
from core.ollama.call import BadAnswer, CallFailed, Complaint, HttpStatus, HungUp
from core.ollama.model_name import ModelName
from core.ollama.pull import PullLine, pull

NAME = ModelName.parse("tiny")


@asynccontextmanager
async def answering(*parts: bytes, status: int = 200, ends: bool = True) -> AsyncIterator[tuple[Endpoint, list[bytes]]]:
    """A server that answers each call with a body in these chunks. What it was sent is in the list."""
    asked: list[bytes] = []
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            asked.append(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
            for part in parts:
                writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                await writer.drain()
            if ends:
                writer.write(b"0\r\n\r\n")
            else:
                writer.transport.abort()
            # To the end of the connection.
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            gone.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Endpoint.parse(f"http://127.0.0.1:{port}"), asked
    finally:
        server.close()
        async with asyncio.timeout(5):
            await gone.wait()


async def lines_of(endpoint: Endpoint) -> list[PullLine]:
    async with aclosing(pull(endpoint, NAME)) as lines:
        return [line async for line in lines]


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


SUCCESS = line(status="success")


async def test_lines_come_as_they_are_sent_wherever_they_are_cut() -> None:
    whole = line(status="pulling a", digest="a", total=10, completed=4) + SUCCESS
    for cut in range(1, len(whole)):
        async with answering(whole[:cut], whole[cut:]) as (endpoint, asked):
            assert await lines_of(endpoint) == [PullLine("pulling a", "a", 10, 4), PullLine("success")]
        assert json.loads(asked[0]) == {"model": "tiny:latest", "insecure": False, "stream": True}


async def test_an_error_in_the_stream_is_told_in_ollamas_words() -> None:
    async with answering(line(status="pulling manifest"), line(error="max retries exceeded: EOF")) as (endpoint, _):
        with pytest.raises(Complaint, match="max retries exceeded: EOF"):
            await lines_of(endpoint)


async def test_a_refusal_is_told_in_ollamas_words() -> None:
    async with answering(line(error="invalid model name"), status=400) as (endpoint, _):
        with pytest.raises(HttpStatus, match="HTTP 400: invalid model name"):
            await lines_of(endpoint)


@pytest.mark.parametrize("parts", [[], [line(status="pulling manifest")], [b"\n\n"]])
async def test_an_end_without_success_is_no_success(parts: Sequence[bytes]) -> None:
    async with answering(*parts) as (endpoint, _):
        with pytest.raises(BadAnswer, match="without a word"):
            await lines_of(endpoint)


async def test_a_connection_that_breaks_off_is_told() -> None:
    async with answering(line(status="pulling manifest"), ends=False) as (endpoint, _):
        with pytest.raises(HungUp):
            await lines_of(endpoint)


async def test_a_line_without_end_is_not_read_to_the_end() -> None:
    async with answering(*[b"x" * 4096] * 4096) as (endpoint, _):
        with pytest.raises(BadAnswer, match="longer than 65536 bytes"):
            await lines_of(endpoint)


async def test_an_hour_of_short_lines_is_not_too_much_around_the_body() -> None:
    """Each comes in a chunk of its own, and Ollama prints 16 a second."""
    short = line(status="pulling 0123456789ab", digest="sha256:" + "0" * 64, total=10**10, completed=10**9)
    async with answering(*[short] * 57_600, SUCCESS) as (endpoint, _):
        assert len(await lines_of(endpoint)) == 57_601


async def test_chunks_of_a_byte_are_too_much() -> None:
    async with answering(*[b" "] * 20_000, SUCCESS) as (endpoint, _):
        with pytest.raises(CallFailed):
            await lines_of(endpoint)


@pytest.mark.parametrize(
    "odd",
    [
        {"status": 5},
        {"status": "pulling a", "digest": ["a"], "total": 10, "completed": 4},
        {"status": "pulling a", "digest": "a", "total": "10", "completed": -4},
        {"status": "pulling a", "digest": "a", "total": 1e300, "completed": None},
        {"status": "x" * 10_000, "digest": "y" * 10_000},
        {},
    ],
)
async def test_odd_lines_are_taken_for_what_they_are_worth(odd: dict[str, object]) -> None:
    async with answering(line(**odd), SUCCESS) as (endpoint, _):
        found, _ = await lines_of(endpoint)
    assert len(found.status) <= 100
    assert len(found.digest) <= 128
    assert 0 <= found.total < 2**63
    assert 0 <= found.completed < 2**63


@pytest.mark.parametrize("content", [b"{\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"[" * 50_000 + b"\n"])
async def test_what_is_no_line_of_an_ollama_is_told(content: bytes) -> None:
    async with answering(content, SUCCESS) as (endpoint, _):
        with pytest.raises(BadAnswer):
            await lines_of(endpoint)


async def test_who_stops_reading_ends_the_connection() -> None:
    """The bed waits for that."""
    async with (
        answering(*[line(status="pulling manifest")] * 3) as (endpoint, _),
        aclosing(pull(endpoint, NAME)) as lines,
    ):
        assert (await anext(lines)).status == "pulling manifest"
