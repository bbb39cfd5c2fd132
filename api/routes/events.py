"""What happens, as a stream."""

from __future__ import annotations

from contextlib import nullcontext

from aiohttp import web

from api.errors import BadValue
from api.http import headers
from api.http.parameters import one_of_each
from api.http.streams import Streams
from api.openapi import EVENT_STREAM, answers
from api.routes.event_frames import EventFrames
from core.events.history import EventType
from core.sidecar import Sidecar

_OFFERED = frozenset(EventType)
# They come once a second, so a reader must ask for them by name.
_ONLY_IF_NAMED = frozenset({EventType.METRICS})
_NAMES = "|".join(EventType)
_TYPES = {"type": "string", "pattern": f"^({_NAMES})(,({_NAMES}))*$", "description": "Which events, divided by commas."}
_ID = {"type": "string", "pattern": "^([0-9a-f]{8}-[0-9]{1,15})?$"}


class EventRoutes:
    """Handlers over one core."""

    def __init__(self, core: Sidecar, streams: Streams) -> None:
        self._core = core
        self._streams = streams

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/api/ollama/events", self.events)]

    @answers(EVENT_STREAM, query={"types": _TYPES, "since": _ID}, headers={headers.LAST_EVENT_ID: _ID})
    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens, as it happens: status, models, jobs, settings, metrics; or all after Last-Event-ID."""
        # A browser that reconnects sends the newer place in the header, and the query as it was.
        name = headers.LAST_EVENT_ID if request.headers.get(headers.LAST_EVENT_ID) else "since"
        last = request.headers.get(headers.LAST_EVENT_ID) or request.query.get("since") or None
        types = one_of_each(request, "types", _OFFERED, default=_OFFERED - _ONLY_IF_NAMED)
        try:
            frames = EventFrames(self._core, types, last)
        except ValueError:
            raise BadValue(name, last or "", "Give the `id` of an event of this stream, or leave it out.") from None
        with self._core.metrics.streamed() if EventType.METRICS in types else nullcontext():
            return await self._streams.serve(request, frames)
