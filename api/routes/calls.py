"""The documented endpoints: parse, call core, serialise."""

from __future__ import annotations

from functools import cached_property

import msgspec
from aiohttp import web

from api.hooks import Hooks
from api.http.body import encoded
from api.http.parameters import DEFAULT_LINES, MOST_LINES, whole_number
from api.http.streams import Streams
from api.openapi import answers, document
from api.routes.log_tail import LogTail
from api.routes.model_list import ModelList
from api.routes.streams import StreamRoutes
from api.schemas import (
    DescriptionBody,
    HealthBody,
    LogsBody,
    ModelsBody,
    ShownBody,
    StartedBody,
    StatusBody,
    StoppedBody,
    status_body,
)
from core import __version__
from core.owners.logs import logs_of
from core.sidecar import Sidecar

MAX_LINES = {"type": "integer", "minimum": 1, "maximum": MOST_LINES, "default": DEFAULT_LINES}


class Routes:
    """Handlers over one core; those that name no instance are about `default`."""

    def __init__(self, core: Sidecar, hooks: Hooks) -> None:
        self._supervisor = core.ollama
        self._hooks = hooks
        self._models = ModelList()
        logs = logs_of(core.paths)
        self._logs = LogTail(logs)
        self.streams = Streams()
        self._stream_routes = StreamRoutes(core, logs, self.streams)

    def table(self) -> list[web.RouteDef]:
        """Every route there is. Each handler is described with `@answers`; whatever runs programs needs the token."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/api/ollama/status", self.status),
            web.post("/api/ollama/start", self.start),
            web.post("/api/ollama/stop", self.stop),
            web.get("/api/ollama/logs", self.logs),
            web.get("/api/ollama/models", self.models),
            web.post("/api/app/show", self.show),
            web.get("/openapi.json", self.openapi),
            *self._stream_routes.table(),
        ]

    @answers(HealthBody)
    async def healthz(self, request: web.Request) -> web.Response:
        """The sidecar lives. Asks nothing of Ollama."""
        return _json(HealthBody("ok", "aura-ollama", __version__))

    @answers(StatusBody)
    async def status(self, request: web.Request) -> web.Response:
        """What is, at most 250 ms old unless Ollama takes its time."""
        return _json(status_body(await self._supervisor.status()))

    @answers(StartedBody, errors=(409, 500, 503))
    async def start(self, request: web.Request) -> web.Response:
        """Have an Ollama up; answers once it is ready."""
        status = await self._supervisor.start()
        return _json(StartedBody(True, "Ollama started successfully", status.pid))

    @answers(StoppedBody, errors=(409, 500, 503))
    async def stop(self, request: web.Request) -> web.Response:
        """Have no managed Ollama; answers once its tree is gone."""
        await self._supervisor.stop()
        return _json(StoppedBody(True, "Ollama stopped successfully"))

    @answers(LogsBody, query={"maxLines": MAX_LINES}, is_private=True)
    async def logs(self, request: web.Request) -> web.Response:
        """The last lines of the managed Ollama's log, over as many starts as it takes."""
        wanted = whole_number(request, "maxLines", least=1, most=MOST_LINES, default=DEFAULT_LINES)
        # Whoever has gone meanwhile need not be read for.
        return _answer(await self._logs.body(wanted, lambda: request.transport is not None))

    @answers(ModelsBody)
    async def models(self, request: web.Request) -> web.Response:
        """The installed models. 200 also while Ollama does not answer, so that no client's breaker opens over it."""
        news = await self._supervisor.models()
        return _answer(await self._models.body(news))

    @answers(ShownBody)
    async def show(self, request: web.Request) -> web.Response:
        """Have the tray show itself: what a second instance asks of the first."""
        why_not = await self._hooks.on_show()
        return _json(ShownBody(why_not is None, why_not))

    @answers(DescriptionBody)
    async def openapi(self, request: web.Request) -> web.Response:
        """This description, in OpenAPI 3.1."""
        return _answer(self._description)

    @cached_property
    def _description(self) -> bytes:
        return document(self.table())


def _json(body: msgspec.Struct) -> web.Response:
    return _answer(encoded(body))


def _answer(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="application/json")
