"""What tests of any stream need: to read one as a browser does, as curl does, or not at all."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import psutil

from api.http.streams import MOST_STREAMS
from tests import tied
from tests.api.serving import Served
from tests.beds.sse import ServerEvent, server_events
from tests.beds.wire import call

DEADLINE = tied.seconds(8.0)


@asynccontextmanager
async def reading(served: Served, path: str, last: str = "") -> AsyncIterator[AsyncIterator[ServerEvent]]:
    """The events of a stream until the block ends. `last` is sent as Last-Event-ID."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with served.http.get(path, headers=_place(last), timeout=timeout) as response:
        assert response.status == 200, await response.text()
        yield server_events(response)


async def assert_refused(served: Served, path: str, last: str, named: str) -> None:
    """The call is answered with a problem about the parameter `named`, and not with a stream."""
    async with served.http.get(path, headers=_place(last)) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (400, "bad_value")
    assert body["message"].startswith(f"{named} is ")
    assert body["action"]


def _place(last: str) -> dict[str, str]:
    return {"Last-Event-ID": last} if last else {}


def curled(url: str) -> str:
    """What the system's curl prints of a stream within two seconds."""
    command = ["curl", "-sN", "--max-time", "2", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    # curl's exit code for a time limit: the stream did not end by itself.
    assert done.returncode == 28
    return done.stdout


@asynccontextmanager
async def all_streams(url: str, path: str, last: str = "") -> AsyncIterator[list[asyncio.StreamReader]]:
    """As many streams of `path` as there may be, each with its head read and nothing else, until the block ends."""
    port = int(url.rpartition(":")[2])
    place = f"Last-Event-ID: {last}\r\n" if last else ""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{place}\r\n".encode()
    readers = []
    async with AsyncExitStack() as stack:
        for _ in range(MOST_STREAMS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            readers.append(reader)
        yield readers


async def warm_memory(url: str, pid: int) -> int:
    """Resident bytes of a sidecar that has answered some calls."""
    for _ in range(10):
        await asyncio.to_thread(call, "GET", f"{url}/api/ollama/status")
    return memory(pid)


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(psutil.Process(pid).memory_info().rss)
