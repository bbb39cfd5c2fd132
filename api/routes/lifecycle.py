"""Status, start, stop and restart."""

from __future__ import annotations

from aiohttp import web

from api.http.body import json_answer
from api.openapi import answers
from api.schemas import StartedBody, StatusBody, StatusView, StoppedBody
from core.sidecar import Sidecar


class LifecycleRoutes:
    """Handlers about the instance `default`."""

    def __init__(self, core: Sidecar) -> None:
        self._supervisor = core.ollama
        self._view = StatusView()

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [
            web.get("/api/ollama/status", self.status),
            web.post("/api/ollama/start", self.start),
            web.post("/api/ollama/stop", self.stop),
            web.post("/api/ollama/restart", self.restart),
        ]

    @answers(StatusBody)
    async def status(self, request: web.Request) -> web.Response:
        """What is, at most 250 ms old unless Ollama takes its time."""
        return json_answer(self._view.body(await self._supervisor.status()))

    @answers(StartedBody, errors=(409, 500, 503))
    async def start(self, request: web.Request) -> web.Response:
        """Have an Ollama up; answers once it is ready."""
        status = await self._supervisor.start()
        return json_answer(StartedBody(True, "Ollama started successfully", status.pid))

    @answers(StoppedBody, errors=(409, 500, 503))
    async def stop(self, request: web.Request) -> web.Response:
        """Have no managed Ollama; answers once its tree is gone."""
        await self._supervisor.stop()
        return json_answer(StoppedBody(True, "Ollama stopped successfully"))

    @answers(StartedBody, errors=(409, 500, 503))
    async def restart(self, request: web.Request) -> web.Response:
        """Stop the managed Ollama, if any, then have one up; answers once it is ready."""
        status = await self._supervisor.restart()
        return json_answer(StartedBody(True, "Ollama restarted successfully", status.pid))
