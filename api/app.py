"""Builds the application: routes, and what surrounds each of them from the outside in."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import nullcontext

from aiohttp import web
from aiohttp.typedefs import Handler

from api import expect
from api.connection import Connection
from api.errors import BadValue, core_problem, problem
from api.guard import MOST_BODY_BYTES, READS, Guard
from api.headers import stamp
from api.hooks import HEADLESS, Hooks
from api.routes import Routes
from core.config import Paths
from core.errors import CoreError
from core.supervisor import Supervisor

log = logging.getLogger(__name__)

BODY_SECONDS = 10.0
# A caller must not fill the log with a path.
_MOST_PATH = 200


def build(supervisor: Supervisor, paths: Paths, hooks: Hooks = HEADLESS) -> web.Application:
    """The sidecar's application, for one supervisor on the running loop."""
    guard = Guard(paths, supervisor.settings, hooks.on_null_refused)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard(request, handler)

    app = web.Application(
        middlewares=[correlated, explained, guarded, explained, received], client_max_size=MOST_BODY_BYTES
    )
    app.on_startup.append(guard.prepare)
    app.add_routes(Routes(supervisor, paths, hooks).table())
    return app


@web.middleware
async def correlated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer its correlation id and keep it out of caches; log what changes something or goes wrong."""
    began = time.monotonic()
    response = await handler(request)
    identity = stamp(response, request)
    is_routine = request.method in READS and response.status < 400
    level = logging.DEBUG if is_routine else logging.INFO
    if log.isEnabledFor(level):
        took_ms = (time.monotonic() - began) * 1000
        path = ascii(request.path)[:_MOST_PATH]
        log.log(level, "%s %s %d %.0f ms %s", request.method, path, response.status, took_ms, identity)
    return response


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem that a person and a program can read."""
    try:
        return await handler(request)
    except CoreError as error:
        return core_problem(error)
    except BadValue as error:
        return problem(400, "bad_value", "Invalid request", str(error), error.wanted)
    except web.RequestPayloadError:
        return problem(400, "body_unreadable", "Invalid request", "The body of this request cannot be read.")
    except web.HTTPException as error:
        response = problem(
            error.status, f"http_{error.status}", error.reason, f"{error.reason}: {request.path[:_MOST_PATH]}"
        )
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("%s %s failed", request.method, ascii(request.path)[:_MOST_PATH])
        return problem(500, "internal", "Something went wrong", "The sidecar failed; its log says why.")


@web.middleware
async def received(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have the whole body in, within its time, before anything is done; then nobody cuts this caller off."""
    connection = request.protocol if isinstance(request.protocol, Connection) else None
    if connection:
        connection.heard()
    if refusal := expect.refuse(request):
        return refusal
    if request.method not in READS:
        expect.invite(request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except ConnectionError as error:
            # Whoever leaves in the midst of its body is no fault of ours to log.
            raise web.RequestPayloadError from error
    with connection.at_work(is_change=request.method not in READS) if connection else nullcontext():
        response = await handler(request)
    if connection:
        connection.make_room(response.content_length or 0)
    return response
