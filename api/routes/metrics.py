"""What Ollama costs and how it answers: as JSON, and as the text that Prometheus reads."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.http.body import json_answer
from api.openapi import Text, answers
from api.schemas import MetricsBody, metrics_body
from core.metrics.meters import Snapshot
from core.sidecar import Sidecar

_PROMETHEUS = "text/plain"


class MetricsRoutes:
    """Handlers over one core. To ask is to look: for a minute it is sampled each second."""

    def __init__(self, core: Sidecar) -> None:
        self._metrics = core.metrics

    def table(self) -> list[web.RouteDef]:
        """Their routes. Prometheus looks for `/metrics` by default."""
        return [web.get("/api/ollama/metrics", self.metrics), web.get("/metrics", self.prometheus)]

    @answers(MetricsBody)
    async def metrics(self, request: web.Request) -> web.Response:
        """What each instance takes and how it answers: now, and over the last ten minutes."""
        return json_answer(metrics_body(await self._metrics.snapshot()))

    @answers(Text(_PROMETHEUS))
    async def prometheus(self, request: web.Request) -> web.Response:
        """The same in Prometheus' text format 0.0.4, with counts since the start of the sidecar."""
        text = await asyncio.to_thread(_text_of, await self._metrics.snapshot())
        return web.Response(body=text, headers={"Content-Type": f"{_PROMETHEUS}; version=0.0.4; charset=utf-8"})


def _text_of(snapshot: Snapshot) -> bytes:
    # Prometheus' library takes some megabytes, for which only those pay who scrape.
    from core.metrics.exposition import text_of

    return text_of(snapshot)
