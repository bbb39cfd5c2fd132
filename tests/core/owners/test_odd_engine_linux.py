"""What is told of something that listens at an engine's socket and is none, or breaks off."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.errors import SpawnFailed, StopFailed
from core.owners.container.engine import Engine
from tests.core.owners import test_container_linux
from tests.core.owners.test_container_linux import attended, owner_in, plan, until
from tests.words import raw

# A refused call may leave a connection of the library's open.
pytestmark = test_container_linux.pytestmark
PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer that says of what length it is, unless the headers do."""
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *(headers or (f"Content-Length: {len(body)}",))]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"220 smtp.example ESMTP\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": http(b'{"Id": "', "200 OK", "Content-Length: 1000"),
    "half a chunk": http(b"ff\r\n{", "200 OK", "Transfer-Encoding: chunked"),
    "no JSON": http(b"<html>\xff</html>"),
    "another JSON": http(b"[1, 2]"),
    "a JSON without what counts": http(b'{"State": 5}'),
    "a refusal in JSON": http(json.dumps({"cause": "x", "message": "out of luck", "response": 500}).encode(), "500 No"),
    "a refusal without words": http(b"", "500 No"),
    "a refusal that is no JSON": http(b"out of luck", "500 No"),
}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the engine is looked for; the path of a socket is short."""
    with tempfile.TemporaryDirectory(prefix="aura-odd-") as folder:
        path = Path(folder) / "s"
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield path


@asynccontextmanager
async def answering(place: Path, answer: bytes, *, is_pinged: bool = True) -> AsyncIterator[None]:
    """Something that answers each request so and closes; the first of a connection as an engine, if `is_pinged`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if is_pinged:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(PONG)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    # The type checker looks at this for Windows too, which has no such function.
    serving: Any = getattr(asyncio, "start_unix_server")  # noqa: B009
    async with await serving(serve, place):
        yield


@pytest.mark.parametrize("is_pinged", [True, False])
@pytest.mark.parametrize("name", ANSWERS)
async def test_it_is_told_of_in_words(tmp_path: Path, place: Path, name: str, is_pinged: bool) -> None:
    owner = owner_in(tmp_path)
    async with answering(place, ANSWERS[name], is_pinged=is_pinged):
        with pytest.raises(SpawnFailed) as unstarted:
            await owner.start(plan(tmp_path, 1))
        with pytest.raises(StopFailed) as unstopped:
            await owner.call_off("default")
        async with attended(owner) as told:
            await until(lambda: told.trouble)
        engine = Engine(f"unix://{place}")
        others = await asyncio.gather(
            engine.stats("ollama"), engine.running(), read(engine), listened(engine), return_exceptions=True
        )
    texts = [unstarted.value, unstopped.value, *told.trouble, *(each for each in others if isinstance(each, Exception))]
    assert len(texts) >= 3
    for text in texts:
        assert raw(text) is None
    if name.startswith("a refusal in") and is_pinged:
        assert all("refuses: out of luck." in str(text) for text in texts)


async def read(engine: Engine) -> None:
    """Read what a container prints, to its end."""
    async with engine.lines("ollama", {}) as lines:
        while await lines.readany():
            pass


async def listened(engine: Engine) -> None:
    """Listen to what happens to a container, to its end."""
    async for _ in engine.events("ollama"):
        pass


async def test_a_path_that_is_too_long_for_a_socket_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{'/a' * 80}")
    with pytest.raises(SpawnFailed, match=r"DOCKER_HOST is .* longer than the path of a socket") as failure:
        await owner_in(tmp_path).check(plan(tmp_path, 1))
    assert raw(failure.value) is None
    assert failure.value.action
