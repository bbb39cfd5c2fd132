"""All instances, and one of them by its id."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.http.body import json_answer
from api.openapi import answers
from api.schemas import InstanceBody, InstancesBody, StartedBody, StoppedBody, instance_body
from core.errors import NoSuchInstance
from core.sidecar import Sidecar
from core.supervision.supervisor import Supervisor


class InstanceRoutes:
    """Handlers that name an instance, and the list of them."""

    def __init__(self, core: Sidecar) -> None:
        self._fleet = core.fleet

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        one = "/api/ollama/instances/{instance}"
        return [
            web.get("/api/ollama/instances", self.instances),
            web.get(one, self.instance),
            web.post(f"{one}/start", self.start_instance),
            web.post(f"{one}/stop", self.stop_instance),
            web.post(f"{one}/restart", self.restart_instance),
        ]

    @answers(InstancesBody)
    async def instances(self, request: web.Request) -> web.Response:
        """Each instance that the settings name, with its status."""
        ids = list(self._fleet)
        statuses = await asyncio.gather(*(self._fleet[each].status() for each in ids))
        return json_answer(InstancesBody([instance_body(*each) for each in zip(ids, statuses, strict=True)]))

    @answers(InstanceBody, errors=(404,))
    async def instance(self, request: web.Request) -> web.Response:
        """The status of one instance."""
        supervisor = self._named(request)
        return json_answer(instance_body(request.match_info["instance"], await supervisor.status()))

    @answers(StartedBody, errors=(404, 409, 500, 503))
    async def start_instance(self, request: web.Request) -> web.Response:
        """Have that Ollama up; answers once it is ready."""
        status = await self._named(request).start()
        return json_answer(StartedBody(True, "Ollama started successfully", status.pid))

    @answers(StoppedBody, errors=(404, 409, 500, 503))
    async def stop_instance(self, request: web.Request) -> web.Response:
        """Have that Ollama stopped, if it is managed; answers once its tree is gone."""
        await self._named(request).stop()
        return json_answer(StoppedBody(True, "Ollama stopped successfully"))

    @answers(StartedBody, errors=(404, 409, 500, 503))
    async def restart_instance(self, request: web.Request) -> web.Response:
        """Stop that Ollama, if it is managed, then have it up; answers once it is ready."""
        status = await self._named(request).restart()
        return json_answer(StartedBody(True, "Ollama restarted successfully", status.pid))

    def _named(self, request: web.Request) -> Supervisor:
        name = request.match_info["instance"]
        if name in self._fleet:
            return self._fleet[name]
        raise NoSuchInstance(f"There is no instance {name[:80]!r}.", action=f"Use one of {', '.join(self._fleet)}.")
