"""One connection and the crowd of them: who is cut off so that the others are served.

A program that opens connections and says nothing, a byte now and then, or does not read its answer costs us descriptors
and memory. Nobody who asks and listens meets these limits.
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
"""Beyond it the one that has been at rest longest is closed. Below the 256 descriptors that macOS allows by default."""
KEEPALIVE_SECONDS = 75.0
FIRST_REQUEST_SECONDS = 10.0
UNREAD_SECONDS = 20.0
MOST_UNREAD_BYTES = 64 << 20
"""What all callers together may leave unread; beyond it those that have left something for longest are cut off."""
_CLOCK_SECONDS = 0.05
# All that one read brings is parsed in one turn of the event loop, and each chunk of a body costs some microseconds.
_RECEIVE_BYTES = 16 << 10


class Connection(web.RequestHandler):
    """One caller's connection. Made by `Crowd`."""

    __slots__ = (
        "_answer_bytes",
        "_crowd",
        "_has_asked",
        "_is_at_work",
        "_is_changing",
        "_may_write",
        "_on_lost",
        "_since",
    )

    def __init__(self, crowd: Crowd, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        # A refused body is not waited for long.
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to say: none
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=1.0,
        )
        self._crowd = crowd
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
        self._crowd.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.leave(self)
        if self._on_lost:
            self._on_lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that it leaves an answer unread: the system takes no more of it. The loop calls this."""
        super().pause_writing()
        self._may_write.clear()
        if not self.is_stream:
            self._is_left_unread()

    def resume_writing(self) -> None:
        """Note that the system takes more again. The loop calls this."""
        super().resume_writing()
        self._may_write.set()

    def heard(self) -> None:
        """Note that the guard has let a request in. Its body has a time limit of its own."""
        if not self._has_asked:
            self._has_asked = True
            self._crowd.unwatch(self)

    @contextmanager
    def at_work(self, *, is_change: bool) -> Iterator[None]:
        """While a handler is at work for this caller, it is not cut off, unless it only reads and there is no room."""
        self._is_at_work, self._is_changing = True, is_change
        try:
            yield
        finally:
            self._is_at_work = self._is_changing = False
            self._since = self._loop.time()
            self._crowd.touch(self)
            # Of a stream something may be unread already; any other answer is sent only after this.
            self._crowd.watch(self)

    @contextmanager
    def streaming(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """While a stream is sent to this caller, nothing cuts it off to make room: streams have limits of their own.

        `on_lost` is called at once should the connection be lost meanwhile: aiohttp does not tell a handler that.
        """
        self._on_lost = on_lost
        try:
            yield
        finally:
            self._on_lost = None

    def make_room(self, size: int) -> None:
        """Have room for an answer of `size` bytes: others that leave theirs unread are cut off if it takes that."""
        self._crowd.make_room(size)
        self._answer_bytes = size

    @property
    def is_at_work(self) -> bool:
        """Whether a handler is at work for this caller."""
        return self._is_at_work

    @property
    def is_changing(self) -> bool:
        """Whether what is done for this caller changes something, such as a start."""
        return self._is_changing

    async def taken(self) -> None:
        """Return once the caller has taken so much of what was sent that more may follow. May be cancelled.

        aiohttp's own `drain` may not: whoever waits next on the same connection would be cancelled as well.
        """
        await self._may_write.wait()

    @property
    def is_stream(self) -> bool:
        """Whether a stream is being sent to this caller."""
        return self._on_lost is not None

    @property
    def deadline(self) -> float | None:
        """When it will have had its time, on the loop's clock: for its first whole request, or to read its last answer.

        None while we wait for nothing that it owes us.
        """
        if self._is_at_work or self.transport is None:
            return None
        if not self._has_asked:
            return self._since + FIRST_REQUEST_SECONDS
        return self._since + UNREAD_SECONDS if self.unread_bytes else None

    @property
    def unread_bytes(self) -> int:
        """How much of its answers waits in our memory: the last one stays whole until its rest is small."""
        left = 0 if self.transport is None else self.transport.get_write_buffer_size()
        return max(left, self._answer_bytes) if left else 0

    def cut(self) -> None:
        """Close at once; what is unsent is lost."""
        if self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, and let go of it: aiohttp would keep it until the next request or the connection's end.

        Returns when the system has taken all but the last 64 KiB of it.
        """
        sent, is_reset = await super().finish_response(request, resp, start_time)
        if isinstance(sent, web.Response):
            sent.body = None
        if self.unread_bytes:
            self._is_left_unread()
        return sent, is_reset

    def _is_left_unread(self) -> None:
        self._crowd.make_room(0)
        self._crowd.watch(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the HTTP parser refuses, as a problem like any other. The connection ends: its framing is unknown.

        Raises ConnectionError if an answer has begun, since no second one may follow in its midst.
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


class Crowd:
    """All connections, those at rest longest first. Belongs to the loop, and wakes it only when one is overdue."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._members: dict[Connection, None] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_for: Connection | None = None

    def __call__(self) -> Connection:
        """The protocol for a new connection, as `create_server` wants it."""
        return Connection(self, self._server, self._loop)

    def enter(self, connection: Connection) -> None:
        """Count a new connection, and make room for it."""
        self._members[connection] = None
        if len(self._members) > MOST_CONNECTIONS:
            self._cut(self._least_wanted(connection))
        self.watch(connection)

    def _least_wanted(self, newcomer: Connection) -> Connection:
        """The one at rest longest, else the oldest that only reads: calls that wait must not keep all others out.

        Never a stream: it reads as long as it lives, and would always be the oldest.
        """
        others = [each for each in self._members if each is not newcomer]
        resting = (each for each in others if not each.is_at_work)
        reading = (each for each in others if not each.is_changing and not each.is_stream)
        return next(resting, None) or next(reading, newcomer)

    def touch(self, connection: Connection) -> None:
        """Note that this one was served just now."""
        if connection in self._members:
            del self._members[connection]
            self._members[connection] = None

    def leave(self, connection: Connection) -> None:
        """Forget one that is closed."""
        self._members.pop(connection, None)
        self.unwatch(connection)

    def close(self) -> None:
        """Watch no more."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._alarm_for = None

    def watch(self, connection: Connection) -> None:
        """See to it that this one is cut off at its deadline, if it has one and lets it pass."""
        deadline = connection.deadline
        if deadline is None or connection not in self._members:
            return
        if self._alarm is None or deadline < self._alarm.when():
            self.close()
            self._alarm = self._loop.call_at(deadline, self._cut_overdue)
            self._alarm_for = connection

    def unwatch(self, connection: Connection) -> None:
        """Note that this one has met its deadline."""
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
        """Keep what nobody reads within bounds, with `size` bytes more to come, whoever asks for however much.

        Whoever was answered last has had the least time to read, and goes last.
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
        # Its end is told later, and until then it must not be picked again.
        self.leave(connection)
        connection.cut()
