"""The routes that answer with a stream: what each sends, and from where on."""

from __future__ import annotations

import json

from aiohttp import web

from api import headers
from api.errors import BadValue
from api.openapi import EVENT_STREAM, answers
from api.parameters import DEFAULT_LINES, MOST_LINES, whole_number
from api.streams import Streams, framed, place_only
from core.config import Paths
from core.logs_follow import Follower, Place, Portion

_FROM = {"type": "integer", "minimum": 0, "maximum": MOST_LINES, "default": DEFAULT_LINES}
_PLACE = {"type": "string", "pattern": r"^([0-9]{8}-[0-9]{6}\.[0-9]{1,9}\.[0-9]{1,15})?$"}


class StreamRoutes:
    """Handlers of the streams."""

    def __init__(self, paths: Paths, streams: Streams) -> None:
        self._streams = streams
        self._follower = Follower(str(paths.logs), log_events)

    def table(self) -> list[web.RouteDef]:
        """Their routes. Each handler is described with `@answers`."""
        return [web.get("/api/ollama/logs/stream", self.logs_stream)]

    @answers(EVENT_STREAM, query={"from": _FROM}, headers={headers.LAST_EVENT_ID: _PLACE}, is_private=True)
    async def logs_stream(self, request: web.Request) -> web.StreamResponse:
        """The last lines of the managed Ollama's log, then new ones as they are written; or all after Last-Event-ID."""
        with self._follower.reading(_log_start(request)) as reader:
            return await self._streams.serve(request, reader)


def _log_start(request: web.Request) -> Place | int:
    wanted = whole_number(request, "from", least=0, most=MOST_LINES, default=DEFAULT_LINES)
    last = request.headers.get(headers.LAST_EVENT_ID)
    if not last:
        return wanted
    try:
        return Place.parse(last)
    except ValueError:
        raise BadValue(
            headers.LAST_EVENT_ID, last, "Give the `id` of an event of this stream, or leave it out."
        ) from None


def log_events(portion: Portion) -> bytes:
    """A portion of the log as events: each line with the place behind it, by which a reader comes back."""
    events = [framed(line, id=str(place)) for place, line in portion.lines]
    if portion.has_gap:
        gap = {"type": "gap", "message": "Lines are missing here: their file was deleted."}
        events.insert(0, framed(json.dumps(gap), event="gap"))
    return "".join(events or [place_only(str(portion.end))]).encode()
