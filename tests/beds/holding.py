"""A Unix socket that passes all on to a server's own, until it is told to hold a request, and from then on nothing.

So does a server that hangs: it has got what was sent and does not answer, and goes on with that once it does. For one
loop; a context manager that is entered and left there.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PORTION = 65_536
_LAST_SECONDS = 5.0


class Holding:
    """Listens at `place` for the server at `target`."""

    def __init__(self, target: Path, place: Path) -> None:
        self.url = f"unix://{place}"
        self.has_hold = asyncio.Event()
        """Set once a request is held."""
        self._target = target
        self._place = place
        self._word: bytes | None = None
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._pipes: set[asyncio.Task[None]] = set()

    def hold(self, word: bytes) -> None:
        """Hold the next request that has these bytes in it, and all that comes after it, in both directions."""
        self._word = word
        self.has_hold.clear()

    def release(self) -> None:
        """Pass on what was held, though nobody may wait for an answer by now."""
        self._word = None
        self._passing.set()

    async def drop(self) -> None:
        """Hang up on all, and pass on the next connections."""
        self._word = None
        await self.hang_up()
        self._passing.set()

    async def __aenter__(self) -> Self:
        if sys.platform == "win32":
            raise NotImplementedError("asyncio has no such sockets there")
        self._server = await asyncio.start_unix_server(self._serve, self._place)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        # One that has just been accepted gets its task within a few iterations of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
        await self.hang_up()
        self._place.unlink(missing_ok=True)

    async def hang_up(self) -> None:
        """End all connections; what is held is lost."""
        while pipes := list(self._pipes):
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)
        # The loop closes in its next iteration what was aborted in this one.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sys.platform == "win32":
            raise NotImplementedError("asyncio has no such sockets there")
        task = asyncio.current_task()
        assert task
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        try:
            there, to_server = await asyncio.open_unix_connection(self._target)
        except BaseException:
            writer.transport.abort()
            raise
        try:
            # One who goes does not keep the server from what it was told.
            asking = asyncio.create_task(self._pass_on(reader, to_server))
            answering = asyncio.create_task(self._pass_on(there, writer))
            await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([answering], timeout=_LAST_SECONDS)
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            to_server.transport.abort()
            writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while portion := await source.read(_PORTION):
                if self._word and self._word in portion:
                    self._word = None
                    self._passing.clear()
                    self.has_hold.set()
                await self._passing.wait()
                sink.write(portion)
                await sink.drain()
