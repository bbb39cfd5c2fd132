"""A sidecar over real HTTP, in this process, so that a test can also look behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp

from api.hooks import HEADLESS, Hooks
from api.server import sidecar
from core.sidecar import Sidecar
from core.supervision.supervisor import Supervisor
from tests import tied
from tests.rig import Rig


@dataclass(frozen=True, slots=True)
class Served:
    """A listening sidecar: its URL and port, its supervisor, and a client for it."""

    url: str
    core: Sidecar
    http: aiohttp.ClientSession

    @property
    def supervisor(self) -> Supervisor:
        """That of the instance `default`."""
        return self.core.ollama

    @property
    def port(self) -> int:
        """The sidecar's own port."""
        return int(self.url.rpartition(":")[2])


@asynccontextmanager
async def serving(rig: Rig, hooks: Hooks = HEADLESS, port: int = 0) -> AsyncIterator[Served]:
    """The sidecar for a rig's settings, at a free port by default, until the block ends; its Ollama ends with it."""
    async with (
        rig.running() as core,
        sidecar(core, port, hooks) as url,
        aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=tied.seconds(8))) as http,
    ):
        yield Served(url, core, http)


async def speak(port: int, request: bytes, within: float = 8) -> bytes:
    """Send bytes as they are and return all that comes back until the other side closes, or `within` seconds pass."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while part := await reader.read(1 << 16):
                    answer += part
        return answer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
