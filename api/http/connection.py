"""One caller's connection: what it waits for, until when, and how much of its answers it has not read yet.

It knows its own deadlines. `pool.ConnectionPool` holds all connections, closes those that miss a deadline, and decides
which one is closed if there are too many.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from api.errors import problem
from api.http.headers import stamp

if TYPE_CHECKING:
    from api.http.pool import ConnectionPool

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 75.0
FIRST_REQUEST_SECONDS = 10.0
UNREAD_SECONDS = 20.0
# All that one read brings is parsed in one turn of the event loop, and each chunk of a body costs some microseconds.
_RECEIVE_BYTES = 16 << 10


class Connection(web.RequestHandler):
    """One caller's connection. Made by `ConnectionPool`."""

    __slots__ = (
        "_answer_bytes",
        "_has_asked",
        "_is_at_work",
        "_is_changing",
        "_may_write",
        "_on_lost",
        "_pool",
        "_since",
    )

    def __init__(self, pool: ConnectionPool, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        # `lingering_time`: how long aiohttp goes on reading the body of a request that was refused.
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to say: none
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=1.0,
        )
        self._pool = pool
        self._has_asked = False
        self._is_at_work = False
        self._is_changing = False
        self._answer_bytes = 0
        self._on_lost: Callable[[], None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._since = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._pool.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._pool.leave(self)
        if self._on_lost:
            self._on_lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the loop when the system's buffer is full: the caller does not read its answer."""
        super().pause_writing()
        self._may_write.clear()
        if not self.is_stream:
            self._pool.owes(self)

    def resume_writing(self) -> None:
        """Called by the loop when the system's buffer has room again."""
        super().resume_writing()
        self._may_write.set()

    def request_accepted(self) -> None:
        """Note that a request has passed the access checks. Its body has a time limit of its own."""
        if not self._has_asked:
            self._has_asked = True
            self._pool.unwatch(self)

    def begin_work(self, *, is_change: bool) -> None:
        """Note that a handler works for this caller: until `end_work` it is closed only if the pool is full and the
        call changes nothing."""
        self._is_at_work, self._is_changing = True, is_change

    def end_work(self) -> None:
        """Note that the handler has returned or raised."""
        self._is_at_work = self._is_changing = False
        self._since = self._loop.time()
        self._pool.touch(self)
        # A stream may have unread bytes by now; any other answer is sent only after this.
        self._pool.watch(self)

    @contextmanager
    def streaming(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """While a stream is sent to this caller, it is not closed to make room: streams have limits of their own.

        `on_lost` is called at once if the connection is lost meanwhile; aiohttp does not tell a handler.
        """
        self._on_lost = on_lost
        try:
            yield
        finally:
            self._on_lost = None

    def make_room(self, size: int) -> None:
        """Make room for an answer of `size` bytes, if necessary by closing others that do not read theirs."""
        self._pool.make_room(size)
        self._answer_bytes = size

    @property
    def is_at_work(self) -> bool:
        """Whether a handler works for this caller."""
        return self._is_at_work

    @property
    def is_changing(self) -> bool:
        """Whether the handler's call may change something, such as a start."""
        return self._is_changing

    async def taken(self) -> None:
        """Wait until the caller has read enough for more to be sent. May be cancelled.

        aiohttp's own `drain` must not be cancelled: the next one that waits on the connection would be cancelled too.
        """
        await self._may_write.wait()

    @property
    def is_stream(self) -> bool:
        """Whether a stream is being sent to this caller."""
        return self._on_lost is not None

    @property
    def deadline(self) -> float | None:
        """When the time for its first whole request, or for reading its last answer, is over, on the loop's clock.

        None while neither is awaited.
        """
        if self._is_at_work or self.transport is None:
            return None
        if not self._has_asked:
            return self._since + FIRST_REQUEST_SECONDS
        return self._since + UNREAD_SECONDS if self.unread_bytes else None

    @property
    def unread_bytes(self) -> int:
        """How many bytes of its answers are in our memory. The last body stays in memory whole until little is left."""
        left = 0 if self.transport is None else self.transport.get_write_buffer_size()
        return max(left, self._answer_bytes) if left else 0

    def cut(self) -> None:
        """Close at once. Unsent bytes are lost."""
        if self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer and release its body, which aiohttp would keep until the next request on this connection.

        Returns when the system has accepted all but the last 64 KiB.
        """
        sent, is_reset = await super().finish_response(request, resp, start_time)
        if isinstance(sent, web.Response):
            sent.body = None
        if self.unread_bytes:
            self._pool.owes(self)
        return sent, is_reset

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the HTTP parser refuses. Then the connection ends, since its framing is unknown.

        Raises ConnectionError if another answer has begun: a second one must not be mixed into it.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("An answer had been begun")
        if status >= 500:
            log.error("a request failed outside its handler", exc_info=exc)
            response = problem(500, "internal", "Something went wrong", "The sidecar failed; its log says why.")
        elif isinstance(exc, LineTooLong):
            long = f"A line of the request is longer than {exc.args[1]} bytes, more than any name here takes."
            response = problem(
                status, "bad_request", "Invalid request", long, "Shorten the name that is in the address."
            )
        else:
            response = problem(status, "bad_request", "Invalid request", "This is no HTTP request that can be read.")
        stamp(request, response)
        response.force_close()
        return response
