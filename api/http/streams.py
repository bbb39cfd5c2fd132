"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

How a stream works: a route makes a `Source`, and `Streams.serve` sends what it brings. Each part is awaited, sent, and
must be taken by the reader before the source is asked for the next part. So a reader that does not read costs no memory
and delays nobody; one that takes nothing for 10 s loses the stream. If anything but the reader ends a stream, a last
event `end` tells the reason. Events have an `id`, the reader's place: a browser reconnects by itself and sends the last
one as `Last-Event-ID`, and the source goes on from there.
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
"""How often a silent stream sends a comment, so that neither end, nor a proxy in between, takes it for dead."""
SLOW_SECONDS = 10.0
_RETRY_SECONDS = 5
_KERNEL_BYTES = 128 << 10
"""The kernel's send buffer per stream (SO_SNDBUF). By default it grows to megabytes for a reader that does not read."""
# A browser waits 1 s before it reconnects.
_GREETING = b"retry: 1000\n\n"
_COMMENT = b":\n\n"


class End(Enum):
    """Why a stream ends, with the text for its reader."""

    LEFT = "The reader has left."
    SLOW = f"The stream was not read for {SLOW_SECONDS:g} s."
    CLOSING = "The sidecar ends."
    FAULT = "The sidecar failed; its log says why."


class Source(Protocol):
    """What a stream sends. Belongs to the loop."""

    async def next(self) -> bytes:
        """Wait for the next events, and return them framed. May be cancelled and called again without losing any."""


def framed(data: str, *, event: str | None = None, id: str | None = None) -> str:
    """One event, with `data` on one line. Line ends in it, which would begin another field, are escaped."""
    data = data.replace("\r", "\\x0d").replace("\n", "\\x0a")
    head = (f"id: {id}\n" if id else "") + (f"event: {event}\n" if event else "")
    return f"{head}data: {data}\n\n"


def place_only(id: str) -> str:
    """A block with an `id` only: it tells the reader a new place to come back to, and is no event."""
    return f"id: {id}\n\n"


class Streams:
    """All streams of the sidecar, to count and to end them. Belongs to the loop."""

    def __init__(self) -> None:
        self._enders: set[Callable[[End], None]] = set()

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._enders)

    async def close(self, app: web.Application) -> None:
        """End all streams, each with an event `end`. For aiohttp's `on_shutdown`."""
        for end in list(self._enders):
            end(End.CLOSING)

    async def serve(self, request: web.Request, source: Source) -> web.StreamResponse:
        """Send what the source brings until the reader leaves or is too slow, or the sidecar ends.

        Answers 429 if MOST_STREAMS are open.
        """
        if self.count >= MOST_STREAMS:
            refusal = problem(
                429,
                "too_many_streams",
                "Too many streams",
                f"{MOST_STREAMS} streams are open, and there cannot be more.",
                f"Close one, or try again in {_RETRY_SECONDS} s.",
            )
            refusal.headers["Retry-After"] = str(_RETRY_SECONDS)
            return refusal
        # Our server makes connections of this class only.
        connection = cast(Connection, request.protocol)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        # A stream is the last answer on its connection.
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
            # The reader left before the head was sent.
            pass
        finally:
            self._enders.discard(end)
        return response


async def _send_until(ended: asyncio.Future[End], request: web.Request, connection: Connection, source: Source) -> End:
    """Send until `ended` is resolved or sending fails; then send the event `end`. Returns why the stream ended."""
    # aiohttp has no other class of writer.
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
    farewell = {"type": "end", "reason": why.name.lower(), "message": why.value}
    with suppress(ConnectionError):
        # A slow reader may still read this later, like the rest of any answer.
        await writer.write(framed(json.dumps(farewell), event="end").encode(), drain=False)
    if why is End.CLOSING and connection.unread_bytes:
        # The end of the sidecar does not wait for a reader.
        connection.cut()
    return why


async def _send(writer: StreamWriter, connection: Connection, source: Source) -> None:
    """Send for ever. Raises TimeoutError if the reader takes nothing for SLOW_SECONDS, ConnectionError if it left."""
    part = _GREETING
    while True:
        # With `drain=False` this does not wait, so a cancellation never cuts an event in two.
        await writer.write(part, drain=False)
        async with asyncio.timeout(SLOW_SECONDS):
            await connection.taken()
        try:
            async with asyncio.timeout(COMMENT_SECONDS):
                part = await source.next()
        except TimeoutError:
            part = _COMMENT
