"""The models that Ollama has."""

from __future__ import annotations

from aiohttp import web

from api.http.body import json_bytes_answer
from api.openapi import answers
from api.routes.model_list import ModelList
from api.schemas import ModelsBody
from core.sidecar import Sidecar


class ModelRoutes:
    """Handlers about the instance `default`."""

    def __init__(self, core: Sidecar) -> None:
        self._supervisor = core.ollama
        self._models = ModelList()

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/api/ollama/models", self.models)]

    @answers(ModelsBody)
    async def models(self, request: web.Request) -> web.Response:
        """The installed models. 200 also while Ollama does not answer, so that no client's breaker opens over it."""
        news = await self._supervisor.models()
        return json_bytes_answer(await self._models.body(news))
