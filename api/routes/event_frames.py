"""What one reader of `GET /api/ollama/events` gets: a `hello`, the events it has missed, then new ones.

Each event has an `id` (`EPOCH-N`), from which a reader goes on when it reconnects. A reader that is new, or that has
missed more than the history keeps, gets the present status first, and so knows the whole state again.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from api.http.body import encoded
from api.http.streams import framed, place_only
from api.schemas import job_body, sample_body, status_body
from core.events.history import EventType
from core.jobs.job import Job
from core.metrics.instance import Now
from core.sidecar import Sidecar
from core.supervision.report import DEFAULT_INSTANCE
from core.supervision.state import Status


class EventFrames:
    """The source of one reader's stream. Belongs to the loop."""

    def __init__(self, core: Sidecar, types: Collection[EventType], last: str | None) -> None:
        """`last` is the id of the last event that the reader has. Raises ValueError if it is no id."""
        self._supervisor = core.ollama
        self._history = core.events
        self._types = types
        self._is_back = last is not None
        self._last = self._history.number_of(last) if last is not None else None
        self._number: int | None = None
        """The number of the last event that the reader was sent; None before `hello`."""

    async def next(self) -> bytes:
        """Wait for the next events, and return them framed. May be cancelled and called again without losing any."""
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
            # The reader's last event was of an earlier run of the sidecar, whose history is gone.
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
            # A reader of rare types needs a new place too, or it would come back to a place that was dropped long ago.
            frames += place_only(self._history.id_of(last.number))
        return frames, last.number

    def _present(self, status: Status, number: int) -> str:
        """The present status, for a reader that goes on after that event."""
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
        """One event. `is_place`: it has an `id`, so that a reader may go on from it."""
        moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
        body: dict[str, Any] = {
            "id": self._history.id_of(number),
            "epoch": self._history.epoch,
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "instance": instance,
            "type": type,
        }
        match data:
            case Status():
                body |= msgspec.to_builtins(status_body(data))
            case Now():
                body |= msgspec.to_builtins(sample_body(data))
            case Job():
                # Inside, since both a job and an event have an id.
                body["job"] = msgspec.to_builtins(job_body(data))
            case _:
                body |= msgspec.to_builtins(data or {})
        return framed(encoded(body).decode(), event=type, id=body["id"] if is_place else None)
