"""The models that Ollama has, and what is done with them beside pulling."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.http.body import json_answer, json_bytes_answer
from api.http.json_body import json_body
from api.http.parameters import switch
from api.openapi import answers
from api.routes.model_list import ModelList
from api.schemas import (
    AnsweredBody,
    LoadedModelsBody,
    ModelAvailableBody,
    ModelChangedBody,
    ModelInfoBody,
    ModelsBody,
    QuestionBody,
    RecommendedModelsBody,
    changed_body,
    info_body,
    loaded_body,
    recommended_body,
)
from core.ollama.model_name import ModelName
from core.settings.paths import DEFAULT_INSTANCE
from core.sidecar import Sidecar

# The Aura app gives each call 30 s.
_PATIENCE_SECONDS = 25.0


class ModelRoutes:
    """Handlers about the instance `default`; what is in memory is told of all."""

    def __init__(self, core: Sidecar) -> None:
        self._fleet = core.fleet
        self._models = core.models
        self._list = ModelList()

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [
            web.get("/api/ollama/models", self.models),
            web.get("/api/ollama/models/recommended", self.recommended),
            web.get("/api/ollama/models/loaded", self.loaded),
            web.get("/api/ollama/models/{model}/info", self.info),
            web.get("/api/ollama/models/{model}/available", self.available),
            web.post("/api/ollama/models/{model}/load", self.load),
            web.post("/api/ollama/models/{model}/unload", self.unload),
            web.post("/api/ollama/models/{model}/ask", self.ask),
            web.delete("/api/ollama/models/{model}", self.delete),
        ]

    @answers(ModelsBody)
    async def models(self, request: web.Request) -> web.Response:
        """The installed models. 200 also while Ollama does not answer, so that no client's breaker opens over it."""
        news = await self._fleet.default.models()
        return json_bytes_answer(await self._list.body(news))

    @answers(RecommendedModelsBody)
    async def recommended(self, request: web.Request) -> web.Response:
        """The models that Aura recommends. Asks nothing of Ollama."""
        return json_answer(recommended_body())

    @answers(LoadedModelsBody)
    async def loaded(self, request: web.Request) -> web.Response:
        """The models in memory, of every instance. 200 also while an Ollama does not answer."""
        return json_answer(loaded_body(await asyncio.gather(*(self._models.loaded(each) for each in self._fleet))))

    @answers(ModelInfoBody, errors=(404, 409))
    async def info(self, request: web.Request) -> web.Response:
        """What Ollama knows of one installed model."""
        name = model_of(request)
        return json_answer(info_body(name.as_written, await self._models.info(DEFAULT_INSTANCE, name)))

    @answers(ModelAvailableBody)
    async def available(self, request: web.Request) -> web.Response:
        """Whether a model is installed; one without a tag also if it is under any other tag than `latest`."""
        name = model_of(request)
        is_available, error = await self._models.is_available(DEFAULT_INSTANCE, name)
        return json_answer(ModelAvailableBody(name.as_written, is_available, error))

    @answers(ModelChangedBody, errors=(404, 409, 503))
    async def load(self, request: web.Request) -> web.Response:
        """Have a model in memory. Answers after 25 s at most, then without success; the load goes on."""
        name = model_of(request)
        return json_answer(changed_body(await self._models.load(DEFAULT_INSTANCE, name, wait=_PATIENCE_SECONDS)))

    @answers(AnsweredBody, errors=(404, 409), body=QuestionBody)
    async def ask(self, request: web.Request) -> web.Response:
        """Ask a model one question, to see that it answers: 100 tokens and 120 s at most."""
        name = model_of(request)
        question = (await json_body(request, QuestionBody)).question
        return json_answer(
            AnsweredBody(True, name.as_written, await self._models.ask(DEFAULT_INSTANCE, name, question))
        )

    @answers(ModelChangedBody, errors=(404, 409))
    async def unload(self, request: web.Request) -> web.Response:
        """Take a model out of memory. Without success if it is at work, and goes once that is done."""
        return json_answer(changed_body(await self._models.unload(DEFAULT_INSTANCE, model_of(request))))

    @answers(ModelChangedBody, query={"force": {"type": "boolean", "default": False}}, errors=(409,))
    async def delete(self, request: web.Request) -> web.Response:
        """Delete an installed model. One that is in memory is refused with 409, unless `force` is true."""
        is_forced = switch(request, "force")
        changed = await self._models.delete(DEFAULT_INSTANCE, model_of(request), is_forced=is_forced)
        return json_answer(changed_body(changed))


def model_of(request: web.Request) -> ModelName:
    """The model that the path names, percent-encoded. Raises BadModelName."""
    return ModelName.parse(request.match_info["model"])
