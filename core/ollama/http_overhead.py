"""Connections whose answers may bring little beside their body, because each head and each chunk costs work of its own.

aiohttp bounds one line and one head, but takes any number of chunks, each as small as the server likes, chunk
extensions without end, and any number of interim answers.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler

_MOST_BYTES = 32 << 10
# Go, nginx and the like send chunks of 2 KiB and more, with some eight bytes around each.
BODY_PER_BYTE = 32
# All that one read brings is parsed in one turn of the event loop.
_RECEIVE_BYTES = 32 << 10


class TooMuchOverhead(aiohttp.ClientPayloadError):
    """The bytes around a body are more than 32 KiB and a share of the body, by default a 32nd."""


class LeanConnector(aiohttp.TCPConnector):
    """A connector that gives up an answer, and its connection, with `TooMuchOverhead`, and that reads a little at once.

    `keepalive_timeout` and `resolver` are those of aiohttp's own. `body_per_byte` is how many bytes of a body one byte
    around it needs: fewer for a stream of short lines, each of which is a chunk of its own. Any number of connections
    is made at once: with aiohttp's limit of 100, calls that a server leaves without an answer would hold up all others,
    which then look as if it did not answer them either. How many calls are under way is limited where they come in.
    """

    def __init__(
        self, *, resolver: AbstractResolver, keepalive_timeout: float, body_per_byte: int = BODY_PER_BYTE
    ) -> None:
        super().__init__(limit=0, resolver=resolver, keepalive_timeout=keepalive_timeout, socket_factory=_small_socket)
        self._factory = functools.partial(_Handler, body_per_byte, loop=self._loop)  # type: ignore[assignment] # mypy: partial is invariant


class _Handler(ResponseHandler):
    """Counts what comes in for one answer. The parser begins anew with each request, in `set_response_params`."""

    _received = 0

    def __init__(self, body_per_byte: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._body_per_byte = body_per_byte

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            # aiohttp keeps it, and brings it again once there is a request.
            super().data_received(data)
            return
        self._received += len(data)
        super().data_received(data)
        # A parser at rest has not looked at all of it. It is called again, without data, when it goes on.
        if self._reading_paused or self.transport is None:
            return
        body = self._payload.total_bytes if self._payload is not None else 0
        if self._received - body > _MOST_BYTES + body // self._body_per_byte:
            self._give_up()

    def set_response_params(self, *args: Any, **params: Any) -> None:
        self._received = 0
        super().set_response_params(*args, **params)

    def _give_up(self) -> None:
        error = TooMuchOverhead("too much around the body")
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(error)
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


def _small_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    return made
