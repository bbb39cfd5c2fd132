"""The jobs that are listed, and who is told of each change: events, subscribers, and the file. Belongs to the loop.

A change of state is told at once, progress at most four times a second. `jobs.Jobs` alone makes changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from core.errors import NoSuchJob
from core.events.history import EventHistory, EventType
from core.events.snapshots import Broadcast
from core.jobs.entry import Entry
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob
from core.jobs.store import JobStore
from core.ollama.model_name import ModelName
from core.settings.paths import Paths

log = logging.getLogger(__name__)

MOST_ENDED = 50
ENDED_SECONDS = 24 * 3600.0
PROGRESS_SECONDS = 0.25
KEPT_SECONDS = 10.0
"""How often progress is written down, beside each change of state."""


class Listing:
    """All entries of one data folder, the oldest first when iterated over."""

    def __init__(self, paths: Paths, events: EventHistory) -> None:
        self.hub: Broadcast[tuple[Job, ...]] = Broadcast(())
        """The jobs, the newest first."""
        self.store = JobStore(paths, lambda: [KeptJob(entry.job, entry.name) for entry in self])
        self._events = events
        self._entries: dict[str, Entry] = {}
        self._received_before: Counter[str] = Counter()
        """By instance, what jobs that are listed no more have brought."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __getitem__(self, id: str) -> Entry:
        """The entry with that id. Raises NoSuchJob."""
        if id not in self._entries:
            raise NoSuchJob(f"There is no job {id[:40]!r}.", action="GET /api/ollama/jobs lists all that there are.")
        return self._entries[id]

    @property
    def pending(self) -> list[Entry]:
        """Those that have not ended."""
        return [entry for entry in self if not entry.job.is_ended]

    def pending_for(self, instance: str, name: ModelName) -> Entry | None:
        """The one that pulls that model for that instance, however the name is spelt."""
        found = (entry for entry in self.pending if entry.job.instance == instance and entry.name.key == name.key)
        return next(found, None)

    def jobs(self) -> tuple[Job, ...]:
        """All that are listed now, the newest first."""
        self._prune()
        return self._snapshots()

    def received(self, instance: str) -> int:
        """Bytes that pulls of that instance have brought since this sidecar runs. It only rises."""
        at_work = (entry.progress.received for entry in self if entry.job.instance == instance)
        return self._received_before[instance] + sum(at_work)

    def add(self, entry: Entry) -> None:
        """List a new one, and tell of it."""
        self._entries[entry.job.id] = entry
        self._tell(entry)

    def take_over(self, found: Sequence[Entry]) -> None:
        """List what an earlier sidecar has left, before all that is new."""
        self._entries = {entry.job.id: entry for entry in found} | self._entries
        self._prune()
        self.hub.publish(self._snapshots())

    def move(self, entry: Entry, state: JobState, step: str) -> None:
        """Have it be in that state, and say that."""
        if entry.move(state, step):
            self._tell(entry)

    def progressed(self, entry: Entry) -> None:
        """Tell how far it is, at once or as soon as a quarter of a second has passed since the last time."""
        if entry.later is not None:
            return
        loop = asyncio.get_running_loop()
        due = entry.told_at + PROGRESS_SECONDS
        if loop.time() >= due:
            self._tell_progress(entry)
        else:
            entry.later = loop.call_at(due, self._tell_progress, entry)

    def end(self, entry: Entry, state: JobState, error: str | None = None) -> None:
        """Have it be over, for ever, and tell whoever waits for that."""
        entry.end(state, error)
        log.info("Pull of %s: %s%s", entry.job.model, state, f": {error}" if error else "")
        self._prune()
        self._tell(entry)
        entry.ended.set()

    def _tell_progress(self, entry: Entry) -> None:
        entry.later = None
        if entry.job.state is JobState.RUNNING:
            is_size_news = entry.progress.total != entry.job.total
            is_due = asyncio.get_running_loop().time() - entry.kept_at >= KEPT_SECONDS
            entry.advance()
            self._tell(entry, is_kept=is_size_news or is_due)

    def _tell(self, entry: Entry, *, is_kept: bool = True) -> None:
        """Publish what has changed, and have it written down if `is_kept`."""
        entry.forget_timer()
        entry.told_at = asyncio.get_running_loop().time()
        self._events.publish(EventType.JOB, entry.job.instance, entry.job)
        self.hub.publish(self._snapshots())
        if is_kept:
            entry.kept_at = entry.told_at
            self.store.change()

    def _snapshots(self) -> tuple[Job, ...]:
        return tuple(entry.job for entry in reversed(self._entries.values()))

    def _prune(self) -> None:
        """Forget what ended more than a day ago, and more than 50 that have ended.

        Of those the ones go first that a later job of the same model has followed: the last one tells what became of
        the model, and whether Ollama may have a part of it.
        """
        last = {(entry.job.instance, entry.name.key): id for id, entry in self._entries.items()}
        ended = [entry for entry in self if entry.job.is_ended]
        ended.sort(
            key=lambda entry: (
                last[entry.job.instance, entry.name.key] == entry.job.id,
                entry.job.ended_at or 0.0,
            )
        )
        oldest = time.time() - ENDED_SECONDS
        for place, entry in enumerate(ended):
            if len(ended) - place > MOST_ENDED or (entry.job.ended_at or 0.0) < oldest:
                self._received_before[entry.job.instance] += entry.progress.received
                del self._entries[entry.job.id]
