"""`Expect` (RFC 9110, 10.1.1): met once the guard has let a request in, not before.

aiohttp would meet it ahead of every middleware: with a plain 417 of its own, or with `100 Continue` for whoever calls.
"""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage

from api.errors import problem

_EXPECTED = web.RequestKey("expected", str)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def keep_from_aiohttp(server: web.Server) -> None:
    """Have the server's requests come without the header; `refuse` and `invite` know it. Call before the first."""
    make = server.request_factory

    def make_without(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        # What could not be read has a plain dict of no headers.
        if hdrs.EXPECT not in message.headers:
            return make(message, payload, protocol, writer, task)
        rest = message.headers.copy()
        expected = ", ".join(rest.popall(hdrs.EXPECT))
        message = message._replace(headers=type(message.headers)(rest))
        request = make(message, payload, protocol, writer, task)
        # HTTP/1.0 knows no expectations, and its callers do not know what `100 Continue` is.
        request[_EXPECTED] = expected.strip().lower() if request.version >= HttpVersion11 else ""
        return request

    server.request_factory = make_without


def refuse(request: web.Request) -> web.Response | None:
    """The answer to a request that expects what we do not know."""
    if request.get(_EXPECTED, "") in {"", "100-continue"}:
        return None
    return problem(
        417,
        "expectation_failed",
        "Invalid request",
        "What this request expects of the sidecar is not known here.",
        "Send no Expect, or 100-continue.",
    )


def invite(request: web.Request) -> None:
    """Tell a caller that waits for it to send its body."""
    if request.get(_EXPECTED) and request.body_exists and request.transport is not None:
        request.transport.write(_CONTINUE)
