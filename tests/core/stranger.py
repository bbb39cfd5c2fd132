"""A server that answers with given bytes, whoever asks for what, and notes what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Stranger:
    """Its address, and the requests so far: `paths` without their query, `heads` whole; and its `connections`."""

    port: int
    connections: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """The path of each request."""
        return [head.split(" ")[1].partition("?")[0] for head in self.heads]


def ok(body: object, *headers: str) -> bytes:
    """An answer with status 200: `body` as it is if it is bytes, else as JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + content


@asynccontextmanager
async def stranger(answers: Mapping[str, bytes], otherwise: bytes = NOT_FOUND) -> AsyncIterator[Stranger]:
    """A stranger who has an answer for some paths. Connections stay open unless an answer says `Connection: close`."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        itself.connections += 1
        with contextlib.suppress(OSError, EOFError), contextlib.closing(writer.transport):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                itself.heads.append(head)
                for line in head.lower().splitlines():
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                answer = answers.get(itself.paths[-1], otherwise)
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    itself = Stranger(server.sockets[0].getsockname()[1])
    try:
        yield itself
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
