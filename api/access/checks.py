"""Who may call: one list of checks, `CHECKS`, run in order before every route, known or unknown.

Any web page that a user visits can send requests to a loopback port. Pages are recognised by what a browser must send:
Host (after DNS rebinding it is a foreign name), Origin and Fetch metadata (another site's page), and the content type
(an HTML form cannot send JSON). Another user's program is recognised by the owner of its socket; it may change nothing
and not read what is private. The token lets a caller pass where these checks would refuse it. It is required of
everybody if the settings or the route say so, and of callers beyond loopback. Refusals are 403, because the Aura app
logs its user out on 401. `docs/security.md` lists the threats and the tests.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from aiohttp import hdrs, web

from api.access.throttle import Throttle
from api.access.verdicts import Case, Verdicts
from api.errors import problem
from api.http import headers
from api.openapi import is_open, is_private, needs_token
from core import token
from core.platform.sockets.peer import socket_owner_is_us
from core.settings.paths import Paths
from core.settings.reader import Settings, SettingsReader
from core.threads.single_flight import SingleFlight

MOST_BODY_BYTES = 64 << 10
READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing. Every other method, known or unknown, counts as a mutation."""
METHODS = "GET, POST, PUT, DELETE, OPTIONS"
HEADERS = f"Content-Type, {headers.CORRELATION}, Authorization, {headers.TOKEN}, {headers.LAST_EVENT_ID}, Prefer"
_DEV_SERVER_HOSTS = frozenset({"localhost:5173", "127.0.0.1:5173"})
# The Aura app's dev server, the pages of its own backend, and the pages that its desktop program loads from disk.
_ALWAYS_ALLOWED = frozenset(
    {
        "http://localhost:5173",
        "http://127.0.0.1:5173",
        "http://localhost:5005",
        "http://127.0.0.1:5005",
        "file://",
    }
)
_FRESH_SECONDS = 0.25
_TOKEN_SECONDS = 0.25
_FIRST_TOKEN_SECONDS = 2.0


class Proof(Enum):
    """Whether a request has the right token."""

    NONE = "none"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the checks know beside the request. `own` and `peer` are the connection's ends, ("", 0) if it is closed."""

    own: tuple[str, int]
    peer: tuple[str, int]
    settings: Settings
    proof: Proof
    throttle: Throttle
    owner_lookup: asyncio.Lock

    @property
    def port(self) -> int:
        """Our port, to which the caller is connected."""
        return self.own[1]

    @property
    def hosts(self) -> frozenset[str]:
        """What a Host header may say: the names by which the caller may call us, with our port."""
        return _hosts(*self.own)

    @property
    def is_within_loopback(self) -> bool:
        """Whether both ends are loopback addresses, so that the call comes from this machine."""
        return _is_loopback(self.own[0]) and _is_loopback(self.peer[0])


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    return bool(address) and ipaddress.ip_address(address).is_loopback


@lru_cache(maxsize=256)
def _hosts(address: str, port: int) -> frozenset[str]:
    """The names of loopback, and our address of this connection."""
    names = {"127.0.0.1", "localhost", "[::1]", f"[{address}]" if ":" in address else address}
    with_port = {f"{name}:{port}" for name in names}
    return frozenset(with_port | names if port == 80 else with_port)


Check = Callable[[web.Request, RequestContext], Awaitable[web.Response | None]]


def _refuse(code: str, message: str, action: str | None = None, *, status: int = 403) -> web.Response:
    return problem(status, code, "Request refused", message, action)


def _refuse_for_token(context: RequestContext, code: str, message: str) -> web.Response:
    """403, or 429 after too many wrong tokens. The right token is never throttled."""
    if context.proof is Proof.WRONG and (wait := context.throttle.failed()):
        response = _refuse("too_many_failures", "Too many wrong tokens.", f"Wait {wait} s.", status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    return _refuse(code, message, f"Send the content of AuraData/run/token as {headers.TOKEN}.")


async def host(request: web.Request, context: RequestContext) -> web.Response | None:
    """Require exactly one Host header that is one of our names with our port, and a target that is a plain path."""
    found = request.headers.getall(hdrs.HOST, [])
    is_ours = len(found) == 1 and (found[0] in context.hosts or found[0] in _DEV_SERVER_HOSTS)
    if is_ours and request.raw_path.startswith("/"):
        return None
    return _refuse(
        "host_refused", "The Host of this request is not this sidecar.", f"Use http://127.0.0.1:{context.port}."
    )


def allowed_origin(request: web.Request, context: RequestContext) -> str | None:
    """The request's Origin if its pages may read our answers, else None."""
    found = request.headers.getall(hdrs.ORIGIN, [])
    if len(found) != 1:
        return None
    scheme, _, host = found[0].partition("//")
    is_own = scheme == "http:" and host in context.hosts and host.endswith(f":{context.port}")
    is_known = is_own or found[0] in _ALWAYS_ALLOWED or found[0] in context.settings.sidecar.allowed_origins
    may_be_null = found[0] == "null" and (context.proof is Proof.RIGHT or _announces_token(request))
    return found[0] if is_known or may_be_null else None


async def origin(request: web.Request, context: RequestContext) -> web.Response | None:
    """Require an allowed Origin. Without one, the call must come from no page, from our own page, or from a browser
    without web security; or it opens a page of ours in a window of its own.
    """
    if hdrs.ORIGIN in request.headers:
        if allowed_origin(request, context) is not None:
            return None
        if context.proof is Proof.WRONG and request.headers[hdrs.ORIGIN] == "null":
            return _refuse_for_token(context, "origin_refused", "This token does not let a page without an origin in.")
        return _refuse(
            "origin_refused",
            "Pages of this origin may not use the sidecar.",
            "If it is yours, add it to allowedOrigins in ollama-sidecar.json.",
        )
    sites = {site.strip().lower() for site in request.headers.getall("Sec-Fetch-Site", [])}
    if sites <= {"none", "same-origin"} or _keeps_no_origins(request) or _opens_page(request):
        return None
    return _refuse("site_refused", "Another site's page may not use the sidecar.")


def _keeps_no_origins(request: web.Request) -> bool:
    """Whether a browser without web security sends this: a cross-site fetch with mode `cors` and without an Origin.

    The desktop Aura app has such a browser. All others send an Origin with each `cors` request
    (https://fetch.spec.whatwg.org/#origin-header); what they send without one (images, scripts, forms, navigations) has
    another mode.
    """
    names = ("Sec-Fetch-Site", "Sec-Fetch-Mode")
    return [request.headers.getall(name, []) for name in names] == [["cross-site"], ["cors"]]


def _opens_page(request: web.Request) -> bool:
    """Whether this opens our page in a window of its own, by a link of any page.

    The page tells that one nothing: it cannot be framed, its window is out of reach, and its own calls are judged as
    any. A frame has another destination: https://www.w3.org/TR/fetch-metadata/#sec-fetch-dest-header
    """
    names = ("Sec-Fetch-Mode", "Sec-Fetch-Dest")
    is_window = [request.headers.getall(name, []) for name in names] == [["navigate"], ["document"]]
    return request.method in {"GET", "HEAD"} and is_window and is_open(request.match_info.handler)


async def content_type(request: web.Request, context: RequestContext) -> web.Response | None:
    """Require that a mutation has a JSON body or none."""
    if request.method in READS:
        return None
    if hdrs.CONTENT_TYPE not in request.headers and not request.body_exists:
        return None
    if hdrs.CONTENT_TYPE in request.headers and request.content_type == "application/json":
        return None
    return _refuse("content_type_refused", "Only application/json is taken.", "Set Content-Type.", status=415)


async def secret(request: web.Request, context: RequestContext) -> web.Response | None:
    """Require the token if the settings or the route do, and from callers beyond this machine's loopback."""
    is_required = context.settings.sidecar.require_token or not context.is_within_loopback
    handler = request.match_info.handler
    if context.proof is Proof.RIGHT or is_open(handler) or not (is_required or needs_token(handler)):
        return None
    return _refuse_for_token(context, "token_required", "This sidecar requires its token.")


async def user(request: web.Request, context: RequestContext) -> web.Response | None:
    """Require for a mutation, or a private read, that this user's program calls, or the token.

    Where the system does not tell whose program it is (macOS), it passes.
    """
    is_free = request.method in READS and not is_private(request.match_info.handler)
    if is_free or context.proof is Proof.RIGHT:
        return None
    # One lookup at a time: each may take milliseconds, and together they could use up the executor's threads.
    async with context.owner_lookup:
        is_us = await asyncio.to_thread(socket_owner_is_us, context.peer, context.own)
    if is_us is not False:
        return None
    return _refuse_for_token(context, "user_refused", "Another user's program may not do this.")


async def size(request: web.Request, context: RequestContext) -> web.Response | None:
    """Refuse a body beyond the limit by its Content-Length. A chunked one meets the limit while it is read."""
    if (request.content_length or 0) <= MOST_BODY_BYTES:
        return None
    return _refuse("body_too_large", f"A body may have {MOST_BODY_BYTES} bytes at most.", status=413)


CHECKS: tuple[Check, ...] = (host, origin, content_type, secret, user, size)
"""In this order. The first one that refuses decides the answer. A preflight passes `host` and `origin` only."""


def _announces_token(request: web.Request) -> bool:
    """Whether a preflight announces a token header for the call that follows. A preflight itself never has a token."""
    announced = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
    return _is_preflight(request) and not {headers.TOKEN.lower(), "authorization"}.isdisjoint(map(str.strip, announced))


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


class AccessCheck:
    """Runs `CHECKS` and answers preflights. One per application."""

    def __init__(self, paths: Paths, settings: SettingsReader, on_null_refused: Callable[[], None]) -> None:
        """`on_null_refused` is called when a page with `Origin: null` is refused for that."""
        self._on_null_refused = on_null_refused
        self._settings = settings
        self._token = SingleFlight("token", lambda: token.read_or_create(paths.run))
        self._last_token: str | None = None
        self._throttle = Throttle()
        self._owner_lookup = asyncio.Lock()
        self._verdicts = Verdicts()

    async def prepare(self, app: web.Application) -> None:
        """Read the token before the first request. For aiohttp's `on_startup`."""
        await self._read_token(_FIRST_TOKEN_SECONDS)

    async def refusal(self, request: web.Request) -> web.StreamResponse | None:
        """The answer to a call that is refused, or to a preflight; None if the call may be handled.

        Pages of an allowed Origin may read any of these answers, and the handler's.
        """
        # If the connection is closed there is no address, and nobody gets the answer.
        own, peer = (request.get_extra_info(name) or ("", 0) for name in ("sockname", "peername"))
        settings = (await self._settings.fresh(max_age=_FRESH_SECONDS)).settings
        proof = await self._proof(request)
        passed = self._verdicts.under(settings)
        case = Case.of(request, own[:2], peer[0]) if proof is Proof.NONE else None
        if case in passed:
            if (reader := passed[case]) is not None:
                request[headers.READER] = reader
            return None
        context = RequestContext(own[:2], peer[:2], settings, proof, self._throttle, self._owner_lookup)
        if proof is Proof.RIGHT:
            request[headers.HAS_TOKEN] = True
        is_preflight = _is_preflight(request)
        for check in (host, origin) if is_preflight else CHECKS:
            if refusal := await check(request, context):
                if check is origin and request.headers.get(hdrs.ORIGIN) == "null":
                    self._on_null_refused()
                return refusal
            if check is origin and (reader := allowed_origin(request, context)) is not None:
                request[headers.READER] = reader
        if is_preflight:
            return _preflight(request)
        self._verdicts.keep(case, request.get(headers.READER))
        return None

    async def _proof(self, request: web.Request) -> Proof:
        offered = request.headers.getall(headers.TOKEN, [])
        kind, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if kind.lower() == "bearer":
            offered = [*offered, value.strip()]
        if not any(offered):
            return Proof.NONE
        # Read for each call, so that a rotated token counts from the next call on.
        await self._read_token(_TOKEN_SECONDS)
        secret = self._last_token
        if secret is None:
            # No token could ever be read, so none can be checked.
            return Proof.NONE
        return Proof.RIGHT if any(token.matches(secret, text) for text in offered if text) else Proof.WRONG

    async def _read_token(self, seconds: float) -> None:
        """Read the token from its file. If the disk refuses or does not answer, the last one stays in force."""
        with suppress(OSError):
            self._last_token = await self._token.run(seconds)


def _preflight(request: web.Request) -> web.Response:
    grants = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": "600",
    }
    # Sent by browsers for a page from a public network: https://wicg.github.io/private-network-access/
    if "Access-Control-Request-Private-Network" in request.headers:
        grants["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=grants)
