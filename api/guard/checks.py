"""Who may call: one list of checks, in order, before every route, known or not.

A web page that a user happens to visit can reach a loopback port. It is kept out by what a browser must say about
itself: Host (a rebound name is not ours), Origin and Fetch metadata (another site's page), and the content type (a form
cannot send JSON). Another user's program is kept from changing anything, and from reading what is private, by the owner
of its socket. The token opens where these do not, and is asked of everybody where the settings or the route want it,
and beyond loopback. Refusals are 403, since the Aura app logs its user out on 401. `docs/security.md` is the whole
picture.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from aiohttp import hdrs, web

from api.errors import problem
from api.guard.throttle import Throttle
from api.http import headers
from api.openapi import is_private, needs_token
from core import token
from core.platform.sockets.peer import socket_owner_is_us
from core.settings.paths import Paths
from core.settings.reader import Settings, SettingsReader
from core.threads.single_flight import SingleFlight

MOST_BODY_BYTES = 64 << 10
READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Every other method, known or not, is a mutation."""
METHODS = "GET, POST, PUT, DELETE, OPTIONS"
HEADERS = f"Content-Type, {headers.CORRELATION}, Authorization, {headers.TOKEN}, {headers.LAST_EVENT_ID}"
_DEV_SERVER_HOSTS = frozenset({"localhost:5173", "127.0.0.1:5173"})
# The Aura app's dev server, its own backend's pages, and the pages that its desktop program loads from disk.
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

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Proof(Enum):
    """What a request's token is worth."""

    NONE = "none"
    WRONG = "wrong"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Pass:
    """What a request is measured against. `own` and `peer` are the connection's two ends, ("", 0) once it is gone."""

    own: tuple[str, int]
    peer: tuple[str, int]
    settings: Settings
    proof: Proof
    throttle: Throttle
    looking: asyncio.Lock

    @property
    def port(self) -> int:
        """The port that the caller reached."""
        return self.own[1]

    @property
    def names(self) -> set[str]:
        """The hosts by which the caller may know us: loopback's, and the very address that it reached."""
        address = f"[{self.own[0]}]" if ":" in self.own[0] else self.own[0]
        return {"127.0.0.1", "localhost", "[::1]", address}

    @property
    def is_within_loopback(self) -> bool:
        """Whether the call cannot have come from another machine."""
        return all(end[0] and ipaddress.ip_address(end[0]).is_loopback for end in (self.own, self.peer))


Check = Callable[[web.Request, Pass], Awaitable[web.Response | None]]


def _refuse(code: str, message: str, action: str | None = None, *, status: int = 403) -> web.Response:
    return problem(status, code, "Request refused", message, action)


def _refuse_for_token(ours: Pass, code: str, message: str) -> web.Response:
    """403, or 429 for a wrong token after too many of them. The right one is never throttled."""
    if ours.proof is Proof.WRONG and (wait := ours.throttle.failed()):
        response = _refuse("too_many_failures", "Too many wrong tokens.", f"Wait {wait} s.", status=429)
        response.headers["Retry-After"] = str(wait)
        return response
    return _refuse(code, message, f"Send the content of AuraData/run/token as {headers.TOKEN}.")


async def host(request: web.Request, ours: Pass) -> web.Response | None:
    """Exactly one Host, exactly one of our names, and a target that is a plain path."""
    names = {f"{name}:{ours.port}" for name in ours.names}
    if ours.port == 80:
        names |= ours.names
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
    own = {f"http://{name}:{ours.port}" for name in ours.names}
    is_known = found[0] in own or found[0] in _ALWAYS_ALLOWED or found[0] in ours.settings.sidecar.allowed_origins
    may_be_null = found[0] == "null" and (ours.proof is Proof.RIGHT or _announces_token(request))
    return found[0] if is_known or may_be_null else None


async def origin(request: web.Request, ours: Pass) -> web.Response | None:
    """An allowed Origin; or none, from no page, a page of ours, or one whose browser keeps no origins at all."""
    if hdrs.ORIGIN in request.headers:
        if allowed_origin(request, ours) is not None:
            return None
        if ours.proof is Proof.WRONG and request.headers[hdrs.ORIGIN] == "null":
            return _refuse_for_token(ours, "origin_refused", "This token does not let a page without an origin in.")
        return _refuse(
            "origin_refused",
            "Pages of this origin may not use the sidecar.",
            "If it is yours, add it to allowedOrigins in ollama-sidecar.json.",
        )
    sites = {site.strip().lower() for site in request.headers.getall("Sec-Fetch-Site", [])}
    if sites <= {"none", "same-origin"} or _keeps_no_origins(request):
        return None
    return _refuse("site_refused", "Another site's page may not use the sidecar.")


def _keeps_no_origins(request: web.Request) -> bool:
    """Whether a browser without web security sends this, as the desktop Aura app's is: a cross-site fetch, no Origin.

    Every other browser sends an Origin with each `cors` request (https://fetch.spec.whatwg.org/#origin-header), and
    what it sends without one (images, scripts, forms, navigations) has another mode.
    """
    names = ("Sec-Fetch-Site", "Sec-Fetch-Mode")
    return [request.headers.getall(name, []) for name in names] == [["cross-site"], ["cors"]]


async def content_type(request: web.Request, ours: Pass) -> web.Response | None:
    """A mutation bears JSON or nothing."""
    if request.method in READS:
        return None
    if hdrs.CONTENT_TYPE not in request.headers and not request.body_exists:
        return None
    if hdrs.CONTENT_TYPE in request.headers and request.content_type == "application/json":
        return None
    return _refuse("content_type_refused", "Only application/json is taken.", "Set Content-Type.", status=415)


async def secret(request: web.Request, ours: Pass) -> web.Response | None:
    """The token, where the settings or the route require it, and for whoever is not within this machine's loopback."""
    is_required = ours.settings.sidecar.require_token or not ours.is_within_loopback
    if ours.proof is Proof.RIGHT or not (is_required or needs_token(request.match_info.handler)):
        return None
    return _refuse_for_token(ours, "token_required", "This sidecar requires its token.")


async def user(request: web.Request, ours: Pass) -> web.Response | None:
    """A mutation, or a read of what is private: from this user's program, if the system tells, or with the token."""
    is_free = request.method in READS and not is_private(request.match_info.handler)
    if is_free or ours.proof is Proof.RIGHT:
        return None
    # One at a time: looking may take milliseconds, and must not take all the threads that others wait for.
    async with ours.looking:
        is_us = await asyncio.to_thread(socket_owner_is_us, ours.peer, ours.own)
    if is_us is not False:
        return None
    return _refuse_for_token(ours, "user_refused", "Another user's program may not do this.")


async def size(request: web.Request, ours: Pass) -> web.Response | None:
    """No body beyond the limit. One of unannounced length meets it while it is read."""
    if (request.content_length or 0) <= MOST_BODY_BYTES:
        return None
    return _refuse("body_too_large", f"A body may have {MOST_BODY_BYTES} bytes at most.", status=413)


CHECKS: tuple[Check, ...] = (host, origin, content_type, secret, user, size)


def _offered(request: web.Request) -> list[str]:
    offered = request.headers.getall(headers.TOKEN, [])
    kind, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if kind.lower() == "bearer":
        offered = [*offered, value.strip()]
    return [text for text in offered if text]


def _announces_token(request: web.Request) -> bool:
    """Whether a preflight says that the call to come bears a token, as no preflight itself can."""
    announced = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
    return _is_preflight(request) and not {headers.TOKEN.lower(), "authorization"}.isdisjoint(map(str.strip, announced))


def _is_preflight(request: web.Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


class Guard:
    """The middleware that runs `CHECKS` and answers preflights. One for each application."""

    def __init__(self, paths: Paths, settings: SettingsReader, on_null_refused: Callable[[], None]) -> None:
        """`on_null_refused` is called when a page without an origin of its own was refused for that."""
        self._on_null_refused = on_null_refused
        self._settings = settings
        self._token = SingleFlight("token", lambda: token.read_or_create(paths.run))
        self._last_token: str | None = None
        self._throttle = Throttle()
        self._looking = asyncio.Lock()

    async def prepare(self, app: web.Application) -> None:
        """Before the first request, learn the token, so that there is a last one from the beginning."""
        await self._learn_token(_FIRST_TOKEN_SECONDS)

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse, answer a preflight, or let the handler answer; an allowed Origin may read whatever it is."""
        ours = await self._measure(request)
        is_preflight = _is_preflight(request)
        for check in (host, origin) if is_preflight else CHECKS:
            if refusal := await check(request, ours):
                if check is origin and request.headers.get(hdrs.ORIGIN) == "null":
                    self._on_null_refused()
                return refusal
            if check is origin and (reader := allowed_origin(request, ours)) is not None:
                request[headers.READER] = reader
        return _preflight(request) if is_preflight else await handler(request)

    async def _measure(self, request: web.Request) -> Pass:
        own, peer = (_end(request, name) for name in ("sockname", "peername"))
        reading = await self._settings.fresh(max_age=_FRESH_SECONDS)
        return Pass(own, peer, reading.settings, await self._proof(request), self._throttle, self._looking)

    async def _proof(self, request: web.Request) -> Proof:
        offered = _offered(request)
        if not offered:
            return Proof.NONE
        # Read each time, so that a rotated token counts from the next call on.
        await self._learn_token(_TOKEN_SECONDS)
        secret = self._last_token
        if secret is None:
            # Nothing can be proved.
            return Proof.NONE
        return Proof.RIGHT if any(token.matches(secret, text) for text in offered) else Proof.WRONG

    async def _learn_token(self, seconds: float) -> None:
        """Read the token; while the disk does not let us, the last one stands."""
        with suppress(OSError):
            self._last_token = await self._token.run(seconds)


def _end(request: web.Request, name: str) -> tuple[str, int]:
    # Without a transport the client has gone, and whatever is answered reaches nobody.
    address: tuple[str, int] = request.get_extra_info(name) or ("", 0)
    return address[0], address[1]


def _preflight(request: web.Request) -> web.Response:
    grants = {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": "600",
    }
    # A page outside the loopback network asks so: https://wicg.github.io/private-network-access/
    if "Access-Control-Request-Private-Network" in request.headers:
        grants["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=grants)
