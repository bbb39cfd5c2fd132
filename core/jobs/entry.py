"""A job at work: what is known of it, what it needs, and how one snapshot follows from the other.

`jobs.Jobs` alone holds and changes entries. Belongs to the loop.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from core.jobs.attempt import Download
from core.jobs.job import Job, JobState
from core.jobs.progress import Progress
from core.ollama.model_name import ModelName


@dataclass(slots=True, eq=False)
class Entry:
    """One job. `ended` is set at its end, and at that of the sidecar."""

    job: Job
    name: ModelName
    progress: Progress
    task: asyncio.Task[None] | None = None
    download: Download | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    is_whole: bool = False
    """Ollama has said that it has the model: there is nothing left to cancel."""
    told_at: float = float("-inf")
    """When its job was published last, by the loop's clock."""
    kept_at: float = float("-inf")
    """When its job was last to be written down, by the same clock."""
    later: asyncio.TimerHandle | None = None
    """Publishes progress as soon as that is due."""

    @property
    def left(self) -> int:
        """Bytes that it still brings, as far as is known."""
        return max(0, (self.progress.total or 0) - self.progress.completed)

    async def until_ended(self, seconds: float) -> Job:
        """The job once it has ended, or as it is after `seconds`, or at the end of the sidecar."""
        if not self.job.is_ended:
            try:
                async with asyncio.timeout(seconds):
                    await self.ended.wait()
            except TimeoutError:
                pass
        return self.job

    def forget_timer(self) -> None:
        """Publish no progress later."""
        if self.later:
            self.later.cancel()
            self.later = None

    def advance(self) -> None:
        """Have the job say how far it is."""
        progress, now = self.progress, time.monotonic()
        # Before the first line of an attempt stands what an earlier sidecar knew.
        if progress.total is None:
            self.job = replace(self.job, step=progress.step or self.job.step)
            return
        self.job = replace(
            self.job,
            step=progress.step,
            completed=progress.completed,
            total=progress.total,
            percent=progress.percent,
            bytes_per_second=progress.bytes_per_second(now),
            seconds_left=progress.seconds_left(now),
        )

    def move(self, state: JobState, step: str) -> bool:
        """Have the job be in that state, and say that. False if it did already."""
        if (state, step) == (self.job.state, self.job.step):
            return False
        self.advance()
        self.job = replace(self.job, state=state, step=step, bytes_per_second=None, seconds_left=None)
        return True

    def end(self, state: JobState, error: str | None) -> None:
        """Have the job be over, for ever."""
        self.move(state, "")
        if state is JobState.DONE:
            self.job = replace(self.job, percent=100, completed=self.job.total or 0)
        self.job = replace(self.job, error=error, ended_at=time.time())
