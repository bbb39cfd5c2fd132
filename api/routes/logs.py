"""The log of the managed Ollama: its last lines, and as a stream."""

from __future__ import annotations

import json

from aiohttp import web

from api.errors import BadValue
from api.http import headers
from api.http.body import json_bytes_answer
from api.http.parameters import DEFAULT_LINES, MOST_LINES, whole_number
from api.http.streams import Streams, framed, place_only
from api.openapi import EVENT_STREAM, answers
from api.routes.log_tail import LogTail
from api.schemas import LogsBody
from core.logs.follow import Portion
from core.logs.places import Place
from core.owners.logs import logs_of
from core.sidecar import Sidecar

MAX_LINES = {"type": "integer", "minimum": 1, "maximum": MOST_LINES, "default": DEFAULT_LINES}
_FROM = {"type": "integer", "minimum": 0, "maximum": MOST_LINES, "default": DEFAULT_LINES}
_PLACE = {"type": "string", "pattern": r"^([0-9]{8}-[0-9]{6}\.[0-9]{1,9}\.[0-9]{1,15})?$"}


class LogRoutes:
    """Handlers about the logs of the instance `default`."""

    def __init__(self, core: Sidecar, streams: Streams) -> None:
        self._streams = streams
        logs = logs_of(core.paths)
        self._tail = LogTail(logs)
        self._follower = logs.follow(log_events)

    def table(self) -> list[web.RouteDef]:
        """Their routes."""
        return [web.get("/api/ollama/logs", self.logs), web.get("/api/ollama/logs/stream", self.logs_stream)]

    @answers(LogsBody, query={"maxLines": MAX_LINES}, is_private=True)
    async def logs(self, request: web.Request) -> web.Response:
        """The last lines of the managed Ollama's log, over as many starts as it takes."""
        wanted = whole_number(request, "maxLines", least=1, most=MOST_LINES, default=DEFAULT_LINES)
        # Nothing is read for a caller that has disconnected meanwhile.
        return json_bytes_answer(await self._tail.body(wanted, lambda: request.transport is not None))

    @answers(EVENT_STREAM, query={"from": _FROM}, headers={headers.LAST_EVENT_ID: _PLACE}, is_private=True)
    async def logs_stream(self, request: web.Request) -> web.StreamResponse:
        """The last lines of the managed Ollama's log, then new ones as they are written; or all after Last-Event-ID."""
        start: Place | int = whole_number(request, "from", least=0, most=MOST_LINES, default=DEFAULT_LINES)
        if last := request.headers.get(headers.LAST_EVENT_ID):
            try:
                start = Place.parse(last)
            except ValueError:
                way_out = "Give the `id` of an event of this stream, or leave it out."
                raise BadValue(headers.LAST_EVENT_ID, last, way_out) from None
        with self._follower.reading(start) as reader:
            return await self._streams.serve(request, reader)


def log_events(portion: Portion) -> bytes:
    """A portion of the log as events. The `id` of each line is the place after it, from which a reader goes on."""
    events = []
    if portion.has_gap:
        gap = {"type": "gap", "message": "Lines are missing here: their file was deleted."}
        events.append(framed(json.dumps(gap), event="gap"))
    events += [framed(line, id=str(place)) for place, line in portion.lines]
    if not portion.lines:
        events.append(place_only(str(portion.end)))
    return "".join(events).encode()
