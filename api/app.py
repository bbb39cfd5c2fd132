"""Builds the application: routes, and what surrounds each of them from the outside in."""

from __future__ import annotations

import asyncio
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from api.access.checks import MOST_BODY_BYTES, READS, AccessCheck
from api.errors import explanation, problem
from api.hooks import HEADLESS, Hooks
from api.http import expect, headers
from api.http.call_log import CallLog
from api.http.connection import Connection
from api.routes.table import Routes
from core.sidecar import Sidecar

log = logging.getLogger(__name__)

BODY_SECONDS = 10.0
# Characters of a path in the log: a caller must not fill the log with one.
_MOST_PATH = 200


def build(core: Sidecar, hooks: Hooks = HEADLESS) -> web.Application:
    """The application over one core, which runs on the same loop."""
    access = AccessCheck(core.paths, core.settings, hooks.on_null_refused)
    calls = CallLog(log)

    @web.middleware
    async def surrounded(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check, receive and handle; turn every exception into a problem answer; log what changes something or fails.

        A logged line bears the correlation id of its answer.
        """
        began = time.monotonic()
        try:
            refusal = await access.refusal(request)
            response = await received(request, handler) if refusal is None else refusal
        except Exception as error:
            response = explained(request, error)
        is_routine = request.method in READS and response.status < 400
        level = logging.DEBUG if is_routine else logging.INFO
        if log.isEnabledFor(level):
            identity, took_ms = headers.identity(request), (time.monotonic() - began) * 1000
            kind = f"answered with {response.status // 100}xx"
            line = "%s %s %d %.0f ms %s"
            calls.write(kind, level, line, request.method, _path(request), response.status, took_ms, identity)
        return response

    def explained(request: web.Request, error: Exception) -> web.StreamResponse:
        """The answer to a call whose handler raised this."""
        answer = explanation(error, request.path[:_MOST_PATH])
        if answer is not None:
            return answer
        calls.write("ended by a fault", logging.ERROR, "%s %s failed", request.method, _path(request), exc_info=error)
        return problem(500, "internal", "Something went wrong", "The sidecar failed; its log says why.")

    app = web.Application(middlewares=[surrounded], client_max_size=MOST_BODY_BYTES)
    routes = Routes(core, hooks)
    app.on_startup.append(access.prepare)
    app.on_response_prepare.append(headers.on_prepare)
    app.on_shutdown.append(routes.streams.close)
    app.add_routes(routes.table())
    return app


def _path(request: web.Request) -> str:
    return ascii(request.path)[:_MOST_PATH]


async def received(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read the whole body, within its time limit, before the handler runs, and tell the connection what happens."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        raise TypeError("The server makes other connections than ours.")
    connection.request_accepted()
    if refusal := expect.refuse(request):
        return refusal
    is_change = request.method not in READS
    if is_change:
        expect.invite(request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except ConnectionError as error:
            # A caller that disconnects within its body is no fault of ours, and not logged as one.
            raise web.RequestPayloadError from error
    connection.begin_work(is_change=is_change)
    try:
        response = await handler(request)
    finally:
        connection.end_work()
    connection.make_room(response.content_length or 0)
    return response
