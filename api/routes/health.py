"""Ollama's health, in the shape that the Aura app polls."""

from __future__ import annotations

from aiohttp import web

from api.http.body import json_answer
from api.http.parameters import whole_number
from api.openapi import answers
from api.schemas import OllamaHealthBody, health_body
from core.models.health import health, ready
from core.sidecar import Sidecar

_MOST_TRIES, _MOST_DELAY_MS = 100, 10_000
_TRIES = {"type": "integer", "minimum": 1, "maximum": _MOST_TRIES, "default": 10}
_DELAY = {"type": "integer", "minimum": 0, "maximum": _MOST_DELAY_MS, "default": 2000}


class HealthRoutes:
    """Handlers about the instance `default`."""

    def __init__(self, core: Sidecar) -> None:
        self._supervisor = core.ollama

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/api/ollama/health", self.health), web.post("/api/ollama/wait", self.wait)]

    @answers(OllamaHealthBody)
    async def health(self, request: web.Request) -> web.Response:
        """Whether Ollama answers, and what it has. 200 also while it does not."""
        return json_answer(health_body(await health(self._supervisor)))

    @answers({200: OllamaHealthBody, 503: OllamaHealthBody}, query={"maxRetries": _TRIES, "retryDelayMs": _DELAY})
    async def wait(self, request: web.Request) -> web.Response:
        """Wait until Ollama answers: 200 then, 503 if it does not after that many attempts. Starts nothing."""
        tries = whole_number(request, "maxRetries", least=1, most=_MOST_TRIES, default=10)
        delay = whole_number(request, "retryDelayMs", least=0, most=_MOST_DELAY_MS, default=2000) / 1000
        found = await ready(self._supervisor, tries, delay, lambda: request.transport is not None)
        return json_answer(health_body(found), status=200 if found.is_healthy else 503)
