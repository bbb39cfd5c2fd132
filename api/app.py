"""Builds the application: routes, and what surrounds each of them from the outside in."""

from __future__ import annotations

import logging
import re
import time
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from api.errors import BadValue, core_problem, problem
from api.guard import MOST_BODY_BYTES, Guard
from api.hooks import HEADLESS, Hooks
from api.routes import Routes
from core.config import Paths
from core.errors import CoreError
from core.supervisor import Supervisor

log = logging.getLogger(__name__)

CORRELATION = "X-Correlation-ID"
_CORRELATION_SHAPE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def build(supervisor: Supervisor, paths: Paths, token: str, hooks: Hooks = HEADLESS) -> web.Application:
    """The sidecar's application, for one supervisor on the running loop."""
    guard = Guard(paths, token, hooks.on_null_refused)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard(request, handler)

    app = web.Application(middlewares=[correlated, explained, guarded, explained], client_max_size=MOST_BODY_BYTES)
    app.add_routes(Routes(supervisor, paths, hooks).table())
    return app


@web.middleware
async def correlated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer its correlation id and keep it out of caches; log what changes something or goes wrong."""
    offered = request.headers.get(CORRELATION, "")
    identity = offered if _CORRELATION_SHAPE.fullmatch(offered) else uuid.uuid4().hex
    began = time.monotonic()
    response = await handler(request)
    response.headers[CORRELATION] = identity
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "aura-ollama"
    response.headers["X-Content-Type-Options"] = "nosniff"
    is_routine = request.method in {"GET", "HEAD", "OPTIONS"} and response.status < 400
    took_ms = (time.monotonic() - began) * 1000
    level = logging.DEBUG if is_routine else logging.INFO
    log.log(level, "%s %s %d %.0f ms %s", request.method, ascii(request.path), response.status, took_ms, identity)
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
        response = problem(error.status, f"http_{error.status}", error.reason, f"{error.reason}: {request.path}")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("%s %s failed", request.method, ascii(request.path))
        return problem(500, "internal", "Something went wrong", "The sidecar failed; its log says why.")
