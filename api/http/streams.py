"""Answers that go on: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

How a stream works: a route makes a `Source` and has `Streams.serve` send what it brings. Each part is awaited, then
sent, and must be taken by the reader before the source is asked for the next one: who does not read costs no memory and
holds nobody up. Who takes nothing for 10 s loses the stream. Whatever ends a stream, other than the reader itself, is
told in a last event `end`. A browser then comes back by itself, and says which `id` it had last.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.http import StreamWriter

from api.errors import problem
from api.http.connection import Connection
from api.http.headers import identity

log = logging.getLogger(__name__)

MOST_STREAMS = 32
COMMENT_SECONDS = 15.0
"""How often a silent stream says something, so that neither end, nor what lies between, takes it for dead."""
SLOW_SECONDS = 10.0
_RETRY_SECONDS = 5
_KERNEL_BYTES = 128 << 10
"""What the kernel keeps for a reader that does not read. It would make that megabytes by itself."""
# A browser waits for 1 s before it comes back.
_GREETING = b"retry: 1000\n\n"
_COMMENT = b":\n\n"


class End(Enum):
    """Why a stream ends, and what its reader is told of that."""

    LEFT = "The reader has left."
    SLOW = f"The stream was not read for {SLOW_SECONDS:g} s."
    CLOSING = "The sidecar ends."
    FAULT = "The sidecar failed; its log says why."


class Source(Protocol):
    """What a stream sends. Belongs to the loop."""

    async def next(self) -> bytes:
        """The next events, framed, once there are any. May be cancelled and called again, and loses nothing by that."""


def framed(data: str, *, event: str | None = None, id: str | None = None) -> str:
    """One event, with `data` on one line. What would end that line, and begin a field of its own, is spelt out."""
    data = data.replace("\r", "\\x0d").replace("\n", "\\x0a")
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return f"{head}data: {data}\n\n"


def place_only(id: str) -> str:
    """What tells the reader a new place to come back to, and is no event."""
    return f"id: {id}\n\n"


class Streams:
    """All streams of the sidecar, so that they are counted and can be ended. Belongs to the loop."""

    def __init__(self) -> None:
        self._enders: set[Callable[[End], None]] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._enders)

    async def close(self, app: web.Application) -> None:
        """End them all, with a word to each. For aiohttp's `on_shutdown`."""
        for end in list(self._enders):
            end(End.CLOSING)

    async def serve(self, request: web.Request, source: Source) -> web.StreamResponse:
        """Send what the source brings until the reader leaves or is too slow, or the sidecar ends.

        429 if there are 32 streams already.
        """
        if self.count >= MOST_STREAMS:
            return _refusal()
        # Our server makes no other.
        connection = cast(Connection, request.protocol)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        # Nothing follows a stream on its connection.
        response.force_close()
        ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

        def end(why: End) -> None:
            if not ended.done():
                ended.set_result(why)

        self._enders.add(end)
        try:
            with connection.streaming(on_lost=partial(end, End.LEFT)):
                if (own := request.get_extra_info("socket")) is not None:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)
                await response.prepare(request)
                if request.method != "HEAD":
                    why = await _send_until(ended, request, connection, source)
                    level = logging.INFO if why is End.SLOW else logging.DEBUG
                    log.log(level, "stream %s ended: %s", identity(request), why.value)
        except ConnectionError:
            # It has left before the head could be sent.
            pass
        finally:
            self._enders.discard(end)
        return response


async def _send_until(ended: asyncio.Future[End], request: web.Request, connection: Connection, source: Source) -> End:
    """Send until `ended` says why that is over, or the sending itself does; then leave a last word."""
    # The one kind that aiohttp has.
    writer = cast(StreamWriter, request.writer)
    sending = asyncio.create_task(_send(writer, connection, source))
    either: list[asyncio.Future[Any]] = [sending, ended]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    error = None if sending.cancelled() else sending.exception()
    if ended.done():
        why = ended.result()
    elif isinstance(error, TimeoutError):
        why = End.SLOW
    elif isinstance(error, ConnectionError):
        why = End.LEFT
    else:
        log.error("stream %s failed", identity(request), exc_info=error)
        why = End.FAULT
    if why is End.LEFT:
        return why
    word = {"type": "end", "reason": why.name.lower(), "message": why.value}
    with suppress(ConnectionError):
        # A slow reader has the time that any reader has to read what is left.
        await writer.write(framed(json.dumps(word), event="end").encode(), drain=False)
    if why is End.CLOSING and connection.unread_bytes:
        # The end of the sidecar waits for nobody.
        connection.cut()
    return why


async def _send(writer: StreamWriter, connection: Connection, source: Source) -> None:
    """Send for ever. Raises TimeoutError once the reader takes nothing any more, ConnectionError if it has left."""
    part = _GREETING
    while True:
        # Nothing waits in here, so that a cancellation leaves no event half sent.
        await writer.write(part, drain=False)
        async with asyncio.timeout(SLOW_SECONDS):
            await connection.taken()
        try:
            async with asyncio.timeout(COMMENT_SECONDS):
                part = await source.next()
        except TimeoutError:
            part = _COMMENT


def _refusal() -> web.Response:
    refusal = problem(
        429,
        "too_many_streams",
        "Too many streams",
        f"{MOST_STREAMS} streams are open, and there cannot be more.",
        f"Close one, or try again in {_RETRY_SECONDS} s.",
    )
    refusal.headers["Retry-After"] = str(_RETRY_SECONDS)
    return refusal
