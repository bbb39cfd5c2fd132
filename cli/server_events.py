"""From the lines of a stream to its events: https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure.

An event counts only once its empty line is there. So what a broken connection cuts in two is not seen, and comes again
to a reader that returns with the id of the last event that it has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLACE = "place"
"""The type of what only tells the reader a new place to come back to, and has no data: no event of the stream."""
OPEN = "open"
"""The type of what is not sent: the stream has been opened. It has no data either, and comes first."""
END = "end"
"""The type of the last event of a stream that the sidecar ends."""


class ServerEvent(NamedTuple):
    """One event. `id` is what a reader comes back with to get what follows; empty as long as none was told."""

    id: str
    event: str
    data: str

    @property
    def body(self) -> dict[str, Any]:
        """The data as a JSON object; empty if it is none."""
        try:
            found = json.loads(self.data)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def server_events(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events that these lines hold. A line ends in \\n, or in \\r\\n; only the last one may have no end."""
    id, type, data = "", "", []
    has_id = False
    for raw in lines:
        if not raw.endswith(b"\n"):
            return
        line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
        if line:
            # A comment is a field without a name.
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "id":
                    id, has_id = value, True
                case "event":
                    type = value
                case "data":
                    data.append(value)
            continue
        if data:
            yield ServerEvent(id, type or "message", "\n".join(data))
        elif has_id:
            yield ServerEvent(id, PLACE, "")
        type, data, has_id = "", [], False
