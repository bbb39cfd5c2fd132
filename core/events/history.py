"""What has happened, numbered, for whoever reads it as a stream: the newest 1,000 events of this run of the sidecar.

How it works: every event gets the next number, and the oldest one makes room. Readers are not known here. One asks for
what comes after the number that it had last, and waits if there is nothing yet, so that a slow one costs nothing and
holds nobody up. If what it asks for has made room meanwhile, it learns how many events that were. An `epoch`, new with
each run, keeps the numbers of two runs apart.
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
    """What an event tells of; its `data` is a `Status`, or what is said here."""

    STATUS = "status"
    MODELS = "models"
    """The installed models, or those in memory, have changed: `count` of these, `loaded` the names of those."""
    JOB = "job"
    SETTINGS = "settings"
    """`changed`: the keys that have new values, never these; `settingsError`: what is wrong with the files, or None."""
    LOG = "log"
    """A start has begun a new log; `file` is its name."""
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number, when it was published (Unix time), and which instance it is of, if of one."""

    number: int
    at: float
    instance: str | None
    type: EventType
    data: object


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in their order. `lost` is how many between the reader's last one and the first of these are gone."""

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
        """Add an event, and wake up whoever waits for it. `data` must not change afterwards. Takes no time."""
        self.newest += 1
        self._ring.append(Event(self.newest, time.time(), instance, type, data))
        self._published.set()
        self._published = asyncio.Event()

    async def after(self, number: int) -> Batch:
        """The events after that number, 25 at most, once there are any. May be cancelled."""
        while self.newest <= number:
            await self._published.wait()
        oldest = self.newest - len(self._ring) + 1
        first = max(number + 1, oldest)
        return Batch(tuple(islice(self._ring, first - oldest, first - oldest + MOST_AT_ONCE)), first - number - 1)

    def id_of(self, number: int) -> str:
        """The id of that event: `EPOCH-N`."""
        return f"{self.epoch}-{number}"

    def number_of(self, id: str) -> int | None:
        """The number of an event by its id; None if that is of another run, or of no event yet.

        Raises ValueError for what is no id at all.
        """
        found = _ID.fullmatch(id)
        if found is None:
            raise ValueError(f"{id!r} is no id of an event")
        number = int(found[2])
        return number if found[1] == self.epoch and number <= self.newest else None
