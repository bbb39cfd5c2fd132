"""The graphics processor that Ollama may use, and Aura's settings about it."""

from __future__ import annotations

from aiohttp import web

from api.http.body import json_answer
from api.http.json_body import json_body
from api.openapi import answers
from api.schemas import GpuConfigBody, GpuStatusBody, gpu_status_body
from core.models.gpu import Detected
from core.sidecar import Sidecar

_KEYS = {
    "gpu_enabled": "ollamaGpuEnabled",
    "num_gpu": "ollamaNumGpu",
    "num_ctx": "ollamaNumCtx",
    "auto_detect": "ollamaGpuAutoDetect",
}
"""The keys of Aura's settings file."""


class GpuRoutes:
    """Handlers about this machine, and about the instance `default`."""

    def __init__(self, core: Sidecar) -> None:
        self._supervisor = core.ollama
        self._gpu = core.gpu

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [
            web.get("/api/ollama/gpu/status", self.gpu_status),
            web.put("/api/ollama/gpu/config", self.gpu_config),
            web.post("/api/ollama/gpu/auto-detect", self.gpu_auto_detect),
        ]

    @answers(GpuStatusBody)
    async def gpu_status(self, request: web.Request) -> web.Response:
        """Which graphics processor there is, as detected within the last 5 min, and the settings about it."""
        return await self._answer(await self._gpu.detect())

    @answers(GpuStatusBody, body=GpuConfigBody)
    async def gpu_config(self, request: web.Request) -> web.Response:
        """Change the settings about it. They reach an Ollama that is started here, at its next start."""
        wanted = await json_body(request, GpuConfigBody)
        changes = {key: value for name, key in _KEYS.items() if (value := getattr(wanted, name)) is not None}
        await self._gpu.change(changes)
        return await self._answer(await self._gpu.detect())

    @answers(GpuStatusBody)
    async def gpu_auto_detect(self, request: web.Request) -> web.Response:
        """Detect anew, and set what suits what was found; if nothing was, only that it is detected by itself."""
        return await self._answer(await self._gpu.auto_detect())

    async def _answer(self, found: Detected) -> web.Response:
        settings, status = await self._gpu.in_force(), await self._supervisor.status()
        return json_answer(gpu_status_body(settings, found, status))
