"""The bodies of jobs."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from core.jobs import texts
from core.jobs.job import Job


class JobBody(msgspec.Struct, frozen=True, rename="camel"):
    """One job: GET /api/ollama/jobs/{id}, and the `job` of an event.

    `completed` and `total` are bytes; `total` is null until the first layer is known. `percent` never goes back.
    `message` says in one line how far it is, or how it ended.
    """

    id: str
    kind: str
    model: str
    instance: str
    state: str
    completed: int
    total: int | None
    percent: int
    bytes_per_second: int | None
    seconds_left: int | None
    step: str
    message: str
    error: str | None
    started_at: str
    ended_at: str | None


class JobsBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/jobs: the newest first."""

    jobs: list[JobBody]
    count: int


class PulledBody(msgspec.Struct, frozen=True, rename="camel"):
    """POST /api/ollama/models/{model}/pull. Without success it still goes on; `message` says how far it is."""

    success: bool
    message: str
    model_name: str
    job_id: str


def job_body(job: Job) -> JobBody:
    """The wire's view of a job."""
    return JobBody(
        id=job.id,
        kind=job.kind,
        model=job.model,
        instance=job.instance,
        state=job.state,
        completed=job.completed,
        total=job.total,
        percent=job.percent,
        bytes_per_second=job.bytes_per_second,
        seconds_left=job.seconds_left,
        step=job.step,
        message=texts.progress(job),
        error=job.error,
        started_at=_moment(job.started_at),
        ended_at=None if job.ended_at is None else _moment(job.ended_at),
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
