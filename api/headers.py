"""Our headers' names, and what every answer bears: its correlation id, and what keeps it out of caches."""

from __future__ import annotations

import re
import uuid

from aiohttp import web

CORRELATION = "X-Correlation-ID"
TOKEN = "X-Aura-Token"  # noqa: S105 - a name, no secret
_CORRELATION_SHAPE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def stamp(response: web.StreamResponse, request: web.BaseRequest) -> str:
    """Put them in. Returns the correlation id: the caller's own, if it is one."""
    offered = request.headers.get(CORRELATION, "")
    identity = offered if _CORRELATION_SHAPE.fullmatch(offered) else uuid.uuid4().hex
    response.headers[CORRELATION] = identity
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "aura-ollama"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return identity
