"""The table of all routes. The OpenAPI document, and the tests that attack every route, are made from it."""

from __future__ import annotations

from functools import cached_property

from aiohttp import web

from api.hooks import Hooks
from api.http.body import json_bytes_answer
from api.http.streams import Streams
from api.openapi import answers, document
from api.routes.app import AppRoutes
from api.routes.docs import DocsRoutes
from api.routes.events import EventRoutes
from api.routes.gpu import GpuRoutes
from api.routes.health import HealthRoutes
from api.routes.instances import InstanceRoutes
from api.routes.jobs import JobRoutes
from api.routes.lifecycle import LifecycleRoutes
from api.routes.logs import LogRoutes
from api.routes.metrics import MetricsRoutes
from api.routes.models import ModelRoutes
from api.routes.page import PageRoutes
from api.routes.settings import SettingsRoutes
from api.schemas import DescriptionBody
from core.sidecar import Sidecar


class Routes:
    """All routes over one core; those that name no instance are about `default`."""

    def __init__(self, core: Sidecar, hooks: Hooks) -> None:
        self.streams = Streams()
        self._resources = (
            PageRoutes(),
            DocsRoutes(lambda: self._description),
            AppRoutes(core, hooks),
            LifecycleRoutes(core),
            InstanceRoutes(core),
            LogRoutes(core, self.streams),
            ModelRoutes(core),
            JobRoutes(core),
            HealthRoutes(core),
            GpuRoutes(core),
            SettingsRoutes(core),
            EventRoutes(core, self.streams),
            MetricsRoutes(core),
        )

    def table(self) -> list[web.RouteDef]:
        """All routes. Each handler has `@answers`; one that decides which program runs must need the token."""
        routes = [route for resource in self._resources for route in resource.table()]
        return [*routes, web.get("/openapi.json", self.openapi)]

    @answers(DescriptionBody, is_open=True)
    async def openapi(self, request: web.Request) -> web.Response:
        """This description, in OpenAPI 3.1."""
        return json_bytes_answer(self._description)

    @cached_property
    def _description(self) -> bytes:
        return document(self.table())
