"""The pool of all connections: which one is closed so that the others are served.

A program that opens connections and sends nothing, or a byte now and then, or does not read its answers, costs us
descriptors and memory. Callers that send whole requests and read the answers never meet these limits.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.http.connection import Connection

MOST_CONNECTIONS = 200
"""Beyond it the connection that has been idle longest is closed. Below macOS's default limit of 256 descriptors."""
MOST_UNREAD_BYTES = 64 << 20
"""How many bytes of answers all callers together may leave unread. Beyond it those that wait longest are closed."""
_CLOCK_SECONDS = 0.05


class ConnectionPool:
    """All connections, the one that has been idle longest first. Belongs to the loop; one timer for all deadlines."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._members: dict[Connection, None] = {}
        self._owing: set[Connection] = set()
        """Those that may have left bytes of an answer unread; only they are asked how many."""
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
        self._owing.discard(connection)
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

    def owes(self, connection: Connection) -> None:
        """Note that this connection has not read all of its answer: its bytes count, and it has a deadline."""
        if connection in self._members:
            self._owing.add(connection)
        self.make_room(0)
        self.watch(connection)

    def make_room(self, size: int) -> None:
        """Close connections that leave answers unread until these, and `size` bytes more, are below MOST_UNREAD_BYTES.

        The one that was answered last has had the least time to read, and is closed last.
        """
        if not self._owing:
            return
        self._owing = {each for each in self._owing if each.unread_bytes}
        unread = {each: each.unread_bytes for each in self._members if each in self._owing and not each.is_stream}
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
