"""One connection and the pool of all of them: which one is closed so that the others are served.

A program that opens connections and sends nothing, or a byte now and then, or does not read its answers, costs us
descriptors and memory. Callers that send whole requests and read the answers never meet these limits.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from api.errors import problem
from api.http.headers import stamp

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 200
"""Beyond it the connection that has been idle longest is closed. Below macOS's default limit of 256 descriptors."""
KEEPALIVE_SECONDS = 75.0
FIRST_REQUEST_SECONDS = 10.0
UNREAD_SECONDS = 20.0
MOST_UNREAD_BYTES = 64 << 20
"""How many bytes of answers all callers together may leave unread. Beyond it those that wait longest are closed."""
_CLOCK_SECONDS = 0.05
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
            self._is_left_unread()

    def resume_writing(self) -> None:
        """Called by the loop when the system's buffer has room again."""
        super().resume_writing()
        self._may_write.set()

    def request_accepted(self) -> None:
        """Note that a request has passed the access checks. Its body has a time limit of its own."""
        if not self._has_asked:
            self._has_asked = True
            self._pool.unwatch(self)

    @contextmanager
    def at_work(self, *, is_change: bool) -> Iterator[None]:
        """While a handler works for this caller, it is closed only if the call changes nothing and the pool is full."""
        self._is_at_work, self._is_changing = True, is_change
        try:
            yield
        finally:
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
            self._is_left_unread()
        return sent, is_reset

    def _is_left_unread(self) -> None:
        self._pool.make_room(0)
        self._pool.watch(self)

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
        else:
            response = problem(status, "bad_request", "Invalid request", "This is no HTTP request that can be read.")
        stamp(request, response)
        response.force_close()
        return response


class ConnectionPool:
    """All connections, the one that has been idle longest first. Belongs to the loop; one timer for all deadlines."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._members: dict[Connection, None] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_for: Connection | None = None

    def __call__(self) -> Connection:
        """Make the protocol of a new connection. This makes the pool a protocol factory for `create_server`."""
        return Connection(self, self._server, self._loop)

    def enter(self, connection: Connection) -> None:
        """Add a new connection. If there are too many, close the one that has been idle longest.

        If none is idle, close the oldest whose call changes nothing, so that calls which wait do not keep all others
        out; if there is none either, the new one. A stream is never closed here: it would always be the oldest.
        """
        others = list(self._members)
        self._members[connection] = None
        if len(self._members) > MOST_CONNECTIONS:
            idle = (each for each in others if not each.is_at_work)
            reading = (each for each in others if not each.is_changing and not each.is_stream)
            self._cut(next(idle, None) or next(reading, connection))
        self.watch(connection)

    def touch(self, connection: Connection) -> None:
        """Note that this connection was served just now: move it to the end of the order."""
        if connection in self._members:
            del self._members[connection]
            self._members[connection] = None

    def leave(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._members.pop(connection, None)
        self.unwatch(connection)

    def close(self) -> None:
        """Cancel the timer."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._alarm_for = None

    def watch(self, connection: Connection) -> None:
        """Have this connection closed at its deadline, if it has one and does not meet it."""
        deadline = connection.deadline
        if deadline is None or connection not in self._members:
            return
        if self._alarm is None or deadline < self._alarm.when():
            self.close()
            self._alarm = self._loop.call_at(deadline, self._cut_overdue)
            self._alarm_for = connection

    def unwatch(self, connection: Connection) -> None:
        """Note that this connection has met its deadline."""
        if self._alarm_for is connection:
            self.close()
            for each in self._members:
                self.watch(each)

    def _cut_overdue(self) -> None:
        self._alarm = self._alarm_for = None
        # The loop runs a timer a little early, by its clock's resolution.
        now = self._loop.time() + _CLOCK_SECONDS
        for connection in list(self._members):
            deadline = connection.deadline
            if deadline is not None and deadline <= now:
                self._cut(connection)
        for connection in self._members:
            self.watch(connection)

    def make_room(self, size: int) -> None:
        """Close connections that leave answers unread until these, and `size` bytes more, are below MOST_UNREAD_BYTES.

        The one that was answered last has had the least time to read, and is closed last.
        """
        unread = {each: each.unread_bytes for each in self._members if not each.is_stream}
        excess = sum(unread.values()) + size - MOST_UNREAD_BYTES
        for each, left in unread.items():
            if excess <= 0:
                return
            if left:
                excess -= left
                self._cut(each)

    def _cut(self, connection: Connection) -> None:
        # `connection_lost` is called later; until then this connection must not be chosen again.
        self.leave(connection)
        connection.cut()
