"""Has models pulled, and tells once each pull has ended. On the loop."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.jobs.job import Job, JobState
from core.ollama.model_name import ModelName
from core.settings.paths import DEFAULT_INSTANCE
from core.sidecar import Sidecar
from core.text import isolated
from tray.toasts import Kind, Toast


class Pulls:
    """The pulls of the instance `default`."""

    def __init__(
        self, core: Sidecar, on_pulls: Callable[[tuple[Job, ...]], None], on_end: Callable[[Toast], None]
    ) -> None:
        """`on_pulls` is told of the pulls under way, the oldest first, whenever these change."""
        self._jobs = core.jobs
        self._on_pulls = on_pulls
        self._on_end = on_end
        self._began = time.time()

    async def follow(self) -> None:
        """Tell of all that changes, until it is cancelled."""
        told: set[str] = set()
        with self._jobs.subscribe() as lists:
            async for jobs in lists:
                ours = [job for job in reversed(jobs) if job.instance == DEFAULT_INSTANCE]
                self._on_pulls(tuple(job for job in ours if not job.is_ended))
                for job in ours:
                    # What had ended before this program began was told then.
                    if job.is_ended and job.id not in told and (job.ended_at or 0.0) >= self._began:
                        told.add(job.id)
                        if toast := _toast(job):
                            self._on_end(toast)

    async def pull(self, name: str) -> Toast:
        """Have a model pulled; returns once the pull is on its way. Raises CoreError."""
        await self._jobs.pull(ModelName.parse(name), DEFAULT_INSTANCE)
        return Toast(
            "Pulling a Model", f"{isolated(name)} is on its way; the menu shows how far it is.", kind=Kind.NEWS
        )

    async def cancel(self, id: str) -> None:
        """End a pull. What has come is kept for a later one. Raises CoreError."""
        await self._jobs.cancel(id)


def _toast(job: Job) -> Toast | None:
    match job.state:
        case JobState.DONE:
            return Toast("Model Pulled", f"{isolated(job.model)} is ready.", kind=Kind.NEWS)
        case JobState.FAILED:
            return Toast("Failed to Pull a Model", f"{isolated(job.model)}: {job.error or 'it failed.'}", Kind.WARNING)
        case JobState.CANCELLED | JobState.QUEUED | JobState.RUNNING:
            # Whoever has cancelled it knows.
            return None
