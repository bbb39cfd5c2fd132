"""Bodies that do not belong to one resource: errors, and the events of streams."""

from __future__ import annotations

import msgspec


class ServerEventBody(msgspec.Struct, frozen=True):
    """One event of a stream. `id` is what a reader comes back with, as `Last-Event-ID`.

    `data` is one line: of the log, or a JSON object whose `type` is that of the event.
    """

    data: str
    id: str = ""
    event: str = "message"


class ProblemBody(msgspec.Struct, frozen=True, rename="camel"):
    """An error, with what RFC 9457 asks for and what the Aura app's screens show.

    `model_name` is there if the call was about one model.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    success: bool = False
    action: str | None = None
    model_name: str | msgspec.UnsetType = msgspec.UNSET
