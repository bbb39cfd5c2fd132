"""The routes that answer with a stream: what each sends, and from where on."""

from __future__ import annotations

import json

from aiohttp import web

from api.errors import BadValue
from api.http import headers
from api.http.parameters import DEFAULT_LINES, MOST_LINES, one_of_each, whole_number
from api.http.streams import Streams, framed, place_only
from api.openapi import EVENT_STREAM, answers
from api.routes.event_frames import EventFrames
from core.events.history import EventType
from core.logs.follow import Place, Portion
from core.owners.logs import Logs
from core.sidecar import Sidecar

_FROM = {"type": "integer", "minimum": 0, "maximum": MOST_LINES, "default": DEFAULT_LINES}
_OFFERED = frozenset(EventType)
# Once a second is too much for whoever has not asked for it.
_ONLY_IF_NAMED = frozenset({EventType.METRICS})
_NAMES = "|".join(EventType)
_TYPES = {"type": "string", "pattern": f"^({_NAMES})(,({_NAMES}))*$", "description": "Which events, divided by commas."}
_ID = {"type": "string", "pattern": "^([0-9a-f]{8}-[0-9]{1,15})?$"}
_PLACE = {"type": "string", "pattern": r"^([0-9]{8}-[0-9]{6}\.[0-9]{1,9}\.[0-9]{1,15})?$"}


class StreamRoutes:
    """Handlers of the streams."""

    def __init__(self, core: Sidecar, logs: Logs, streams: Streams) -> None:
        self._core = core
        self._streams = streams
        self._follower = logs.follow(log_events)

    def table(self) -> list[web.RouteDef]:
        """Their routes. Each handler is described with `@answers`."""
        return [
            web.get("/api/ollama/events", self.events),
            web.get("/api/ollama/logs/stream", self.logs_stream),
        ]

    @answers(EVENT_STREAM, query={"types": _TYPES, "since": _ID}, headers={headers.LAST_EVENT_ID: _ID})
    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens, as it happens: status, models, jobs, settings; first all after Last-Event-ID, or `since`."""
        return await self._streams.serve(request, _event_frames(self._core, request))

    @answers(EVENT_STREAM, query={"from": _FROM}, headers={headers.LAST_EVENT_ID: _PLACE}, is_private=True)
    async def logs_stream(self, request: web.Request) -> web.StreamResponse:
        """The last lines of the managed Ollama's log, then new ones as they are written; or all after Last-Event-ID."""
        with self._follower.reading(_log_start(request)) as reader:
            return await self._streams.serve(request, reader)


def _event_frames(core: Sidecar, request: web.Request) -> EventFrames:
    # A browser that comes back names the newer place in the header, with the query as it was.
    name = headers.LAST_EVENT_ID if request.headers.get(headers.LAST_EVENT_ID) else "since"
    last = request.headers.get(headers.LAST_EVENT_ID) or request.query.get("since") or None
    try:
        return EventFrames(core, one_of_each(request, "types", _OFFERED, default=_OFFERED - _ONLY_IF_NAMED), last)
    except ValueError:
        raise BadValue(name, last or "", "Give the `id` of an event of this stream, or leave it out.") from None


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
    events = []
    if portion.has_gap:
        gap = {"type": "gap", "message": "Lines are missing here: their file was deleted."}
        events.append(framed(json.dumps(gap), event="gap"))
    events += [framed(line, id=str(place)) for place, line in portion.lines]
    if not portion.lines:
        events.append(place_only(str(portion.end)))
    return "".join(events).encode()
