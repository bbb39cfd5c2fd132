"""Who may call: one list of checks, in order, before every route, known or not.

A web page that a user happens to visit can reach a loopback port. It is kept out by what a browser must say about
itself: Host (a rebound name is not ours), Origin and Sec-Fetch-Site (another site's page), and the content type (a form
cannot send JSON). Refusals are 403, since the Aura app logs its user out on 401.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

from api.errors import problem
from core import token
from core.config import Paths, Settings, SettingsReader

MOST_BODY_BYTES = 64 << 10
TOKEN_HEADER = "X-Aura-Token"  # noqa: S105 - a name, no secret
METHODS = "GET, POST, PUT, DELETE, OPTIONS"
HEADERS = f"Content-Type, X-Correlation-ID, Authorization, {TOKEN_HEADER}"
_DEV_SERVER_HOSTS = frozenset({"localhost:5173", "127.0.0.1:5173"})
_ALWAYS_ALLOWED = frozenset({"http://localhost:5173", "http://127.0.0.1:5173", "file://"})
_MUTATIONS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FRESH_SECONDS = 0.25

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Pass:
    """What a request is measured against."""

    port: int
    settings: Settings
    token: str


Check = Callable[[web.Request, Pass], web.Response | None]


def _refuse(code: str, message: str, action: str | None = None, *, status: int = 403) -> web.Response:
    return problem(status, code, "Request refused", message, action)


def host(request: web.Request, ours: Pass) -> web.Response | None:
    """Exactly one Host, exactly one of our names, and a target that is a plain path."""
    names = {f"{name}:{ours.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    if ours.port == 80:
        names |= {"127.0.0.1", "localhost", "[::1]"}
    found = request.headers.getall(hdrs.HOST, [])
    if len(found) == 1 and found[0] in names | _DEV_SERVER_HOSTS and request.raw_path.startswith("/"):
        return None
    return _refuse(
        "host_refused", "The Host of this request is not this sidecar.", f"Use http://127.0.0.1:{ours.port}."
    )


def allowed_origin(request: web.Request, ours: Pass) -> str | None:
    """The request's Origin, if it is one that may read our answers."""
    found = request.headers.getall(hdrs.ORIGIN, [])
    if len(found) != 1:
        return None
    own = {f"http://{name}:{ours.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
    is_known = found[0] in own or found[0] in _ALWAYS_ALLOWED or found[0] in ours.settings.sidecar.allowed_origins
    may_be_null = found[0] == "null" and (_bears_token(request, ours) or _announces_token(request))
    return found[0] if is_known or may_be_null else None


def origin(request: web.Request, ours: Pass) -> web.Response | None:
    """No Origin and no other site behind it, or an allowed Origin."""
    if hdrs.ORIGIN in request.headers:
        if allowed_origin(request, ours) is not None:
            return None
        return _refuse(
            "origin_refused",
            "Pages of this origin may not use the sidecar.",
            "If it is yours, add it to allowedOrigins in ollama-sidecar.json.",
        )
    if request.headers.get("Sec-Fetch-Site", "none").strip().lower() in {"none", "same-origin"}:
        return None
    return _refuse("site_refused", "Another site's page may not use the sidecar.")


def content_type(request: web.Request, ours: Pass) -> web.Response | None:
    """A mutation bears JSON or nothing."""
    if request.method not in _MUTATIONS:
        return None
    if hdrs.CONTENT_TYPE not in request.headers and not request.body_exists:
        return None
    if hdrs.CONTENT_TYPE in request.headers and request.content_type == "application/json":
        return None
    return _refuse("content_type_refused", "Only application/json is taken.", "Set Content-Type.", status=415)


def secret(request: web.Request, ours: Pass) -> web.Response | None:
    """The token, where the settings require it."""
    if not ours.settings.sidecar.require_token or _bears_token(request, ours):
        return None
    return _refuse(
        "token_required",
        "This sidecar requires its token.",
        f"Send the content of AuraData/run/token as {TOKEN_HEADER}.",
    )


def size(request: web.Request, ours: Pass) -> web.Response | None:
    """No body beyond the limit. One of unannounced length meets it while it is read."""
    if (request.content_length or 0) <= MOST_BODY_BYTES:
        return None
    return _refuse("body_too_large", f"A body may have {MOST_BODY_BYTES} bytes at most.", status=413)


CHECKS: tuple[Check, ...] = (host, origin, content_type, secret, size)


def _bears_token(request: web.Request, ours: Pass) -> bool:
    offered = [request.headers.get(TOKEN_HEADER, "")]
    kind, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if kind.lower() == "bearer":
        offered.append(value.strip())
    return any(text and token.matches(ours.token, text) for text in offered)


def _announces_token(request: web.Request) -> bool:
    """Whether a preflight says that the call to come bears a token, as no preflight itself can."""
    announced = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
    return _is_preflight(request) and not {TOKEN_HEADER.lower(), "authorization"}.isdisjoint(map(str.strip, announced))


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


class Guard:
    """The middleware that runs `CHECKS` and answers preflights. One for each application."""

    def __init__(self, paths: Paths, secret: str, on_null_refused: Callable[[], None]) -> None:
        """`on_null_refused` is called when a page without an origin of its own was refused for that."""
        self._on_null_refused = on_null_refused
        self._reader = SettingsReader(paths)
        self._token = secret
        self._settings = Settings()
        self._read_at = float("-inf")

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, answer a preflight, or let the handler answer; an allowed Origin may read whatever it is."""
        ours = Pass(_port(request), await self._fresh_settings(), self._token)
        is_preflight = _is_preflight(request)
        for check in (host, origin) if is_preflight else CHECKS:
            if refusal := check(request, ours):
                if check is origin and request.headers.get(hdrs.ORIGIN) == "null":
                    self._on_null_refused()
                return _readable(refusal, allowed_origin(request, ours) if check not in (host, origin) else None)
        response = _preflight(request) if is_preflight else await handler(request)
        return _readable(response, allowed_origin(request, ours))

    async def _fresh_settings(self) -> Settings:
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            self._settings = await asyncio.to_thread(self._reader.read)
            self._read_at = time.monotonic()
        return self._settings


def _port(request: web.Request) -> int:
    # Without a transport the client has gone, and whatever is answered reaches nobody.
    port: int = request.get_extra_info("sockname", ("", 0))[1]
    return port


def _preflight(request: web.Request) -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": "600",
    }
    # A page outside the loopback network asks so: https://wicg.github.io/private-network-access/
    if "Access-Control-Request-Private-Network" in request.headers:
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)


def _readable(response: web.StreamResponse, origin: str | None) -> web.StreamResponse:
    response.headers["Vary"] = "Origin"
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Correlation-ID"
    return response
