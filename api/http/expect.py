"""`Expect` (RFC 9110, 10.1.1), answered only after a request has passed the access checks.

aiohttp would answer it before any middleware runs: by `100 Continue` to every caller, or by a plain 417 of its own.
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
    """Hide the header from aiohttp; `refuse` and `invite` act on it instead. Call it before the first request."""
    make = server.request_factory

    def make_without(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        # A request that could not be parsed has a plain, empty dict as headers.
        if hdrs.EXPECT not in message.headers:
            return make(message, payload, protocol, writer, task)
        rest = message.headers.copy()
        expected = ", ".join(rest.popall(hdrs.EXPECT))
        message = message._replace(headers=type(message.headers)(rest))
        request = make(message, payload, protocol, writer, task)
        # HTTP/1.0 has no expectations, and its clients do not understand `100 Continue`.
        request[_EXPECTED] = expected.strip().lower() if request.version >= HttpVersion11 else ""
        return request

    server.request_factory = make_without


def refuse(request: web.Request) -> web.Response | None:
    """A 417 for an unknown expectation, else None."""
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
    """Send `100 Continue` to a caller that waits for it before it sends its body."""
    if request.get(_EXPECTED) and request.body_exists and request.transport is not None:
        request.transport.write(_CONTINUE)
