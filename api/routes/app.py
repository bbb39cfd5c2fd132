"""The sidecar itself: whether it lives, and a call to show itself."""

from __future__ import annotations

from aiohttp import web

from api.errors import problem
from api.hooks import Hooks
from api.http.body import json_answer
from api.http.json_body import json_body
from api.openapi import answers
from api.schemas import HealthBody, PageBody, ShownBody, TicketBody, TokenBody
from core import __version__, token
from core.sidecar import Sidecar
from core.threads.single_flight import within

_TOKEN_SECONDS = 2.0


class AppRoutes:
    """Handlers that need no Ollama."""

    def __init__(self, core: Sidecar, hooks: Hooks) -> None:
        self._core = core
        self._hooks = hooks

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [
            web.get("/healthz", self.healthz),
            web.post("/api/app/show", self.show),
            web.post("/api/app/page", self.page_address),
            web.post("/api/app/token", self.token),
        ]

    @answers(HealthBody)
    async def healthz(self, request: web.Request) -> web.Response:
        """The sidecar lives. Asks nothing of Ollama."""
        return json_answer(HealthBody("ok", "aura-ollama", __version__))

    @answers(ShownBody)
    async def show(self, request: web.Request) -> web.Response:
        """Have the tray show itself: what a second instance asks of the first."""
        why_not = await self._hooks.on_show()
        return json_answer(ShownBody(why_not is None, why_not))

    @answers(PageBody)
    async def page_address(self, request: web.Request) -> web.Response:
        """The address at which a browser opens the page; where the token is required, with a ticket for it."""
        return json_answer(PageBody(await self._core.page_address(str(request.url.origin()))))

    @answers(TokenBody, errors=(503,), body=TicketBody, is_open=True)
    async def token(self, request: web.Request) -> web.Response:
        """Change the ticket of such an address for the token. For this user's programs only, as every change is."""
        if not self._core.tickets.take((await json_body(request, TicketBody)).ticket):
            return problem(
                *(403, "ticket_refused", "Request refused", "This ticket was used, or is too old."),
                "Open the page by the tray, or give it the token.",
            )
        try:
            secret = await within(_TOKEN_SECONDS, "token", lambda: token.read_or_create(self._core.paths.run))
        except (OSError, TimeoutError):
            return problem(503, "token_unreadable", "The token cannot be read", "The token cannot be read.")
        return json_answer(TokenBody(secret))
