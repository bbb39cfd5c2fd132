"""The newest 1,000 events of this run of the sidecar, numbered, for readers of streams.

How it works: each event gets the next number, and the oldest event is dropped. Readers are not registered. A reader
asks for the events after the last number it has, and waits if there are none, so a slow reader costs no memory and
delays nobody. If events after that number were dropped, the answer says how many. Event ids are `EPOCH-N`; the epoch is
random and new with each run, so that a number of an earlier run is recognised.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

MOST_EVENTS = 1000
MOST_AT_ONCE = 25
_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


class EventType(StrEnum):
    """The kinds of events. `data` of STATUS is a `Status`, of JOB a `Job`; for the others see below."""

    STATUS = "status"
    MODELS = "models"
    """The installed or the loaded models have changed: `count` of the installed, `loaded` the names of the loaded."""
    JOB = "job"
    SETTINGS = "settings"
    """`changed`: the keys with new values, not the values; `settingsError`: what is wrong with the files, or None."""
    LOG = "log"
    """A start has begun a new log; `file` is its name."""
    METRICS = "metrics"
    """A new sample of an instance, as `core.metrics` gives it; published only while a stream asks for these."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number, when it was published (Unix time), and the instance it is about, None for the sidecar."""

    number: int
    at: float
    instance: str | None
    type: EventType
    data: object


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events. `lost` is how many between the reader's last one and the first of these were dropped."""

    events: tuple[Event, ...]
    lost: int


class EventHistory:
    """The one history of a run. Belongs to the loop."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.newest = 0
        """The number of the newest event, 0 if there is none yet."""
        self._ring: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._published = asyncio.Event()

    def publish(self, type: EventType, instance: str | None, data: object) -> None:
        """Add an event, and wake the readers that wait. `data` must not change afterwards. Never blocks."""
        self.newest += 1
        self._ring.append(Event(self.newest, time.time(), instance, type, data))
        self._published.set()
        self._published = asyncio.Event()

    async def after(self, number: int) -> Batch:
        """Wait for events after that number, and return 25 at most. May be cancelled."""
        while self.newest <= number:
            await self._published.wait()
        oldest = self.newest - len(self._ring) + 1
        first = max(number + 1, oldest)
        return Batch(tuple(islice(self._ring, first - oldest, first - oldest + MOST_AT_ONCE)), first - number - 1)

    def id_of(self, number: int) -> str:
        """The id of that event: `EPOCH-N`."""
        return f"{self.epoch}-{number}"

    def number_of(self, id: str) -> int | None:
        """The number in an event's id; None if the id is of another run, or of an event that has not happened.

        Raises ValueError if `id` does not have the form of one.
        """
        found = _ID.fullmatch(id)
        if found is None:
            raise ValueError(f"{id!r} is no id of an event")
        number = int(found[2])
        return number if found[1] == self.epoch and number <= self.newest else None
