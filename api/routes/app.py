"""The sidecar itself: whether it lives, and a call to show itself."""

from __future__ import annotations

from aiohttp import web

from api.hooks import Hooks
from api.http.body import json_answer
from api.openapi import answers
from api.schemas import HealthBody, ShownBody
from core import __version__


class AppRoutes:
    """Handlers that need no Ollama."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/healthz", self.healthz), web.post("/api/app/show", self.show)]

    @answers(HealthBody)
    async def healthz(self, request: web.Request) -> web.Response:
        """The sidecar lives. Asks nothing of Ollama."""
        return json_answer(HealthBody("ok", "aura-ollama", __version__))

    @answers(ShownBody)
    async def show(self, request: web.Request) -> web.Response:
        """Have the tray show itself: what a second instance asks of the first."""
        why_not = await self._hooks.on_show()
        return json_answer(ShownBody(why_not is None, why_not))
