"""Names of our headers, and the headers that every answer has.

They are set when an answer is *prepared*, just before its head is sent. A middleware would be too late for a stream,
whose head is sent long before its handler returns.
"""

from __future__ import annotations

import random
import re

from aiohttp import hdrs, web

CORRELATION = "X-Correlation-ID"
TOKEN = "X-Aura-Token"  # noqa: S105 - a name, no secret
LAST_EVENT_ID = "Last-Event-ID"
READER = web.RequestKey("reader", str)
"""The Origin whose pages may read the answer, whatever it is. Set by the access checks; if unset, no page may."""
HAS_TOKEN = web.RequestKey("has_token", bool)
"""Set by the access checks, to True, for a request with the right token."""
PREFERENCE_APPLIED = "Preference-Applied"
EXPOSED = ", ".join((CORRELATION, hdrs.LOCATION, PREFERENCE_APPLIED, hdrs.RETRY_AFTER))
"""Headers that a page of another origin may read, beside those that CORS always lets it read
(https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name).
"""
_IDENTITY = web.RequestKey("identity", str)
_CORRELATION_SHAPE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def identity(request: web.BaseRequest) -> str:
    """The correlation id of a request and its answer: the caller's own if it has a valid form, else a new one."""
    if _IDENTITY not in request:
        offered = request.headers.get(CORRELATION, "")
        request[_IDENTITY] = offered if _CORRELATION_SHAPE.fullmatch(offered) else _new_identity()
    return request[_IDENTITY]


def _new_identity() -> str:
    # Told apart from others, and no secret: nothing is granted for it.
    return f"{random.getrandbits(128):032x}"


def stamp(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set the headers that every answer has: correlation id, no caching, no sniffing, and whose pages may read it."""
    response.headers[CORRELATION] = identity(request)
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers[hdrs.SERVER] = "aura-ollama"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.VARY] = "Origin"
    if (reader := request.get(READER)) is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = reader
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


async def on_prepare(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """`stamp` as a handler of aiohttp's signal `on_response_prepare`, which is sent for each answer."""
    stamp(request, response)
