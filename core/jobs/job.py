"""What a job is, as everybody but `jobs.Jobs` sees it: a frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. From `QUEUED` and `RUNNING` it goes on by itself, also over a restart of the sidecar."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""States that a job never leaves."""


@dataclass(frozen=True, slots=True)
class Job:
    """One pull of one model, as it was when this snapshot was made.

    `model` is the canonical name. `completed` and `total` are bytes over all layers that are known so far; a later
    layer adds to both, and `total` is None before the first one. `percent` never goes back, and is 100 only once the
    job is done. `bytes_per_second` is the mean of the last 10 s and `seconds_left` what follows from it, None while
    nothing comes in. `step` says in words what goes on, and `error` why the job failed, with the way out. Times are
    Unix times; `started_at` is when the job was asked for.
    """

    id: str
    model: str
    instance: str
    state: JobState
    started_at: float
    step: str
    kind: str = "pull"
    completed: int = 0
    total: int | None = None
    percent: int = 0
    bytes_per_second: int | None = None
    seconds_left: int | None = None
    error: str | None = None
    ended_at: float | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED
