"""`run/jobs.json`: the jobs that are under way, so that the next sidecar goes on with them, and those that have ended.

Everything here blocks on the disk: call it in a thread, with a deadline.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from core import files
from core.errors import CoreError
from core.jobs.job import ENDED, Job, JobState
from core.ollama.decode import printable
from core.ollama.model_name import ModelName
from core.platform import make_private_dir
from core.settings.paths import Paths, is_instance_id

log = logging.getLogger(__name__)

VERSION = 1
_MOST_JOBS = 500
_ID_LENGTH = 32
_TEXT_LENGTH = 1000
_NAME_LENGTH = 1000
# Until the year 3000: Windows turns no later time into a date.
_Moment = Annotated[float, Meta(ge=0, lt=32_503_680_000)]
_Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Document(msgspec.Struct):
    version: int
    jobs: list[msgspec.Raw] = []


class _Row(msgspec.Struct, rename="camel"):
    id: str
    model: str
    """As it is asked for: with `http://` where that was in the wish."""
    instance: str
    state: JobState
    started_at: _Moment
    completed: _Bytes = 0
    total: _Bytes | None = None
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
    error: str | None = None
    ended_at: _Moment | None = None


@dataclass(frozen=True, slots=True)
class KeptJob:
    """One job of the file, with the name that is to be pulled."""

    job: Job
    name: ModelName


class NewerJobs(Exception):
    """The file is of a later version of this program. It is left as it is."""


def job_path(paths: Paths) -> Path:
    """Where the file lies."""
    return paths.run / "jobs.json"


def encoded(jobs: Sequence[KeptJob]) -> str:
    """The content of the file for these jobs. Does not block."""
    rows = [
        _Row(
            each.job.id,
            each.name.for_pull,
            each.job.instance,
            each.job.state,
            each.job.started_at,
            each.job.completed,
            each.job.total,
            each.job.percent,
            each.job.error,
            each.job.ended_at,
        )
        for each in jobs
    ]
    return msgspec.json.encode({"version": VERSION, "jobs": rows}).decode()


def write(paths: Paths, content: str) -> None:
    """Put it there at once and whole, for this user alone. Raises OSError, with what was there left as it was."""
    make_private_dir(str(paths.run), parents=False)
    files.write(str(job_path(paths)), content)


def read(paths: Paths) -> list[KeptJob]:
    """The jobs of the file. One that is torn, or that others may have written, holds none, and is logged.

    Raises NewerJobs. A row that makes no sense is left out.
    """
    path = job_path(paths)
    try:
        document = msgspec.json.decode(files.read(str(path)), type=_Document)
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        log.warning("%s is not used, and downloads that it may have named are not gone on with: %s", path, error)
        return []
    if document.version > VERSION:
        raise NewerJobs(f"{path} is of a later version ({document.version}) of this program")
    found = [kept for row in document.jobs[:_MOST_JOBS] if (kept := _kept(row))]
    if len(found) < len(document.jobs):
        log.warning("%s: %d jobs make no sense, and are left out", path, len(document.jobs) - len(found))
    return found


def _kept(raw: msgspec.Raw) -> KeptJob | None:
    with suppress(msgspec.MsgspecError, CoreError, RecursionError):
        row = msgspec.json.decode(raw, type=_Row)
        is_sound = 0 < len(row.id) <= _ID_LENGTH and row.id.isalnum() and row.id.isascii()
        is_sound = is_sound and (row.ended_at is not None) == (row.state in ENDED)
        if is_sound and len(row.model) <= _NAME_LENGTH and is_instance_id(row.instance):
            name = ModelName.parse(row.model)
            job = Job(
                id=row.id,
                model=str(name),
                instance=row.instance,
                state=row.state,
                started_at=row.started_at,
                step="",
                completed=row.completed,
                total=row.total,
                percent=row.percent,
                error=None if row.error is None else printable(row.error, _TEXT_LENGTH),
                ended_at=row.ended_at,
            )
            return KeptJob(job, name)
    return None
