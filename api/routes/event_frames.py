"""What one reader of `GET /api/ollama/events` gets: a greeting, what it missed since it was here last, then the news.

Each event bears the id by which a reader comes back (`EPOCH-N`). A reader that is new, or has missed more than the
history keeps, gets the present status beside, so that it can go on from there.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from api.http.body import encoded
from api.http.streams import framed, place_only
from api.schemas import status_body
from core.events.history import EventType
from core.sidecar import Sidecar
from core.supervision.report import DEFAULT_INSTANCE
from core.supervision.state import Status


class EventFrames:
    """The source of one reader's stream. Belongs to the loop."""

    def __init__(self, core: Sidecar, types: Collection[EventType], last: str | None) -> None:
        """`last` is the id of the last event that the reader had. Raises ValueError if it can be none."""
        self._supervisor = core.ollama
        self._history = core.events
        self._types = types
        self._is_back = last is not None
        self._last = self._history.number_of(last) if last is not None else None
        self._number: int | None = None
        """Of the event up to which the reader has been told; None before the greeting."""

    async def next(self) -> bytes:
        """The next events, framed, once there are any. May be cancelled and called again, and loses nothing by that."""
        if self._number is None:
            frames, self._number = await self._greeting()
        else:
            frames, self._number = await self._news(self._number)
        return frames.encode()

    async def _greeting(self) -> tuple[str, int]:
        if self._last is not None:
            return self._framed("hello", self._history.newest, is_place=False), self._last
        status = await self._supervisor.status()
        newest = self._history.newest
        frames = self._framed("hello", newest, is_place=False)
        if self._is_back:
            # Its last event was of another run, of which nothing is known any more.
            frames += self._framed("gap", newest, {"lost": None}, is_place=False)
        return frames + self._present(status, newest), newest

    async def _news(self, number: int) -> tuple[str, int]:
        batch = await self._history.after(number)
        frames = ""
        if batch.lost:
            number += batch.lost
            frames += self._framed("gap", number, {"lost": batch.lost}, is_place=False)
            frames += self._present(await self._supervisor.status(), number)
        for event in batch.events:
            if event.type in self._types:
                frames += self._framed(event.type, event.number, event.data, event.instance, event.at)
        last = batch.events[-1]
        if last.type not in self._types:
            # A reader that is told little must not come back to where nothing is kept any more.
            frames += place_only(self._history.id_of(last.number))
        return frames, last.number

    def _present(self, status: Status, number: int) -> str:
        """What is now, for a reader that goes on after that event."""
        if EventType.STATUS not in self._types:
            return place_only(self._history.id_of(number))
        return self._framed(EventType.STATUS, number, status, DEFAULT_INSTANCE)

    def _framed(
        self,
        type: str,
        number: int,
        data: object = None,
        instance: str | None = None,
        at: float | None = None,
        *,
        is_place: bool = True,
    ) -> str:
        """One event; `is_place` says whether a reader that has had it may come back to it."""
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        body: dict[str, Any] = {
            "id": self._history.id_of(number),
            "epoch": self._history.epoch,
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "instance": instance,
            "type": type,
        }
        body |= msgspec.to_builtins(status_body(data) if isinstance(data, Status) else data or {})
        return framed(encoded(body).decode(), event=type, id=body["id"] if is_place else None)
