"""Reading server-sent events as the specification has it: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `last_id` is what the reader would come back with. A comment has the type `comment` and no data."""

    type: str
    data: str
    last_id: str

    @property
    def json(self) -> dict[str, Any]:
        """Its data as a JSON object."""
        value = json.loads(self.data)
        assert isinstance(value, dict)
        return value


async def server_events(response: aiohttp.ClientResponse) -> AsyncIterator[ServerEvent]:
    """The events of an answer as they come, until it ends. What only moves the place on has the type `place`."""
    last_id = ""
    fields: dict[str, list[str]] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if line.startswith(":"):
            yield ServerEvent("comment", line[1:], last_id)
        elif line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        elif fields:
            last_id = fields.get("id", [last_id])[-1]
            if "data" in fields:
                yield ServerEvent(fields.get("event", ["message"])[-1], "\n".join(fields["data"]), last_id)
            elif "id" in fields:
                yield ServerEvent("place", "", last_id)
            fields = {}
