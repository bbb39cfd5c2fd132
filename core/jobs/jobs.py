"""All jobs of one data folder: the only writer of what a `Job` says. Belongs to one loop.

A job is a task. It goes on whoever has asked for it, and whether anybody still listens. Each change is published as an
event and to the subscribers: a change of state at once, progress at most four times a second. Each change of state is
also written to `run/jobs.json`, off the loop; the next sidecar goes on with what has not ended there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from core.errors import CoreError, NoSuchJob, PullFailed
from core.events.history import EventHistory, EventType
from core.events.snapshots import Broadcast, Subscription
from core.jobs import job_file, texts
from core.jobs.attempt import Download, check_settings, is_up
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob, NewerJobs
from core.jobs.progress import Progress
from core.ollama.model_name import ModelName
from core.platform import merged_environment
from core.settings.paths import DEFAULT_INSTANCE, Paths
from core.supervision.fleet import Fleet
from core.supervision.published import shutting_down
from core.supervision.state import State
from core.text import in_sentences
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

AT_ONCE = 2
"""How many downloads run at the same time; others wait for their turn."""
MOST_PENDING = 100
MOST_ENDED = 50
ENDED_SECONDS = 24 * 3600.0
PROGRESS_SECONDS = 0.25
_FILE_SECONDS = 2.0
_PROMISE_SECONDS = 1.0
_RETRY_SECONDS = 5.0
_NO_PRUNE = "OLLAMA_NOPRUNE"


@dataclass(slots=True, eq=False)
class _Entry:
    """A job at work: what is known of it, and what it needs."""

    job: Job
    name: ModelName
    progress: Progress
    task: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    is_whole: bool = False
    """Ollama has said that it has the model: there is nothing left to cancel."""
    told_at: float = float("-inf")
    later: asyncio.TimerHandle | None = None

    @property
    def left(self) -> int:
        """Bytes that it still brings, as far as is known."""
        return max(0, (self.progress.total or 0) - self.progress.completed)


class Jobs:
    """Pulls of models. `load` it before the first start of an Ollama, `run` it once, as a task, and `close` it."""

    def __init__(self, paths: Paths, fleet: Fleet, events: EventHistory) -> None:
        self._paths = paths
        self._fleet = fleet
        self._events = events
        self._entries: dict[str, _Entry] = {}
        """By id, oldest first."""
        self._hub: Broadcast[tuple[Job, ...]] = Broadcast(())
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._changed = asyncio.Event()
        self._content = ""
        self._reading = SingleFlight("read jobs", lambda: job_file.read(paths))
        self._writing = SingleFlight("write jobs", lambda: job_file.write(paths, self._content))
        self._is_loaded = False
        self._may_write = True
        self._was_written = True

    @property
    def all(self) -> tuple[Job, ...]:
        """All jobs that are listed, the newest first."""
        self._prune()
        return self._listed()

    def __getitem__(self, id: str) -> Job:
        """The job with that id. Raises NoSuchJob."""
        return self._entry(id).job

    def subscribe(self) -> AbstractContextManager[Subscription[tuple[Job, ...]]]:
        """`all`, as it changes: the present list first; a slow reader gets only the newest."""
        return self._hub.subscribe()

    async def pull(self, name: ModelName, instance: str = DEFAULT_INSTANCE) -> Job:
        """Have that model pulled: the job that does it, a running one of the same model if there is one.

        By then it is written down, if the disk takes that within a second. Raises RegistryNotAllowed; PullFailed if no
        Ollama answers and none is being started, or 100 downloads wait already; ShuttingDown; or KeyError if there is
        no such instance.
        """
        supervisor = self._fleet[instance]
        await check_settings(supervisor.settings, name)
        status = await supervisor.status()
        if self._closing.is_set():
            raise shutting_down()
        # From here to the new entry nothing is awaited, so that two wishes for one model make one job.
        for entry in self._entries.values():
            if not entry.job.is_ended and entry.job.instance == instance and entry.name.key == name.key:
                return entry.job
        if not is_up(status) and status.state is not State.STARTING:
            raise PullFailed(
                str(name),
                "Ollama does not answer." if status.is_running else "Ollama is not running.",
                action="Start it, and pull again.",
            )
        if sum(not entry.job.is_ended for entry in self._entries.values()) >= MOST_PENDING:
            raise PullFailed(str(name), f"{MOST_PENDING} downloads wait already.", action="Wait until some have ended.")
        id = secrets.token_hex(6)
        job = Job(id, str(name), instance, JobState.QUEUED, time.time(), texts.WAITS_FOR_TURN)
        entry = self._entries[id] = _Entry(job, name, Progress())
        self._tell(entry)
        self._begin(entry)
        await self._write(_PROMISE_SECONDS)
        return entry.job

    async def wait(self, id: str, seconds: float) -> Job:
        """That job once it has ended, or as it is after `seconds`, or at the end of the sidecar. Raises NoSuchJob."""
        entry = self._entry(id)
        if not entry.job.is_ended:
            try:
                async with asyncio.timeout(seconds):
                    await entry.ended.wait()
            except TimeoutError:
                pass
        return entry.job

    async def cancel(self, id: str) -> Job:
        """Stop that job: its connection to Ollama is closed, by which Ollama stops its download. It stays listed.

        What Ollama has already is kept, for a later pull. One that has ended stays as it is. Raises NoSuchJob.
        """
        entry = self._entry(id)
        if entry.job.is_ended:
            return entry.job
        entry.is_cancelled = True
        if entry.task:
            if not entry.is_whole:
                entry.task.cancel()
            await asyncio.wait([entry.task])
        if not entry.job.is_ended:
            # It had not begun yet.
            self._end(entry, JobState.CANCELLED)
        return entry.job

    def start_environment(self, instance: str) -> Mapping[str, str]:
        """What a start of that instance's Ollama gets beside what the settings say.

        While a download is to go on, Ollama must not tidy up at its start, when it deletes what no model uses: what it
        has of a download that is older than an hour, and every layer that is complete.
        """
        is_pending = any(not entry.job.is_ended and entry.job.instance == instance for entry in self._entries.values())
        return {_NO_PRUNE: "1"} if is_pending and _NO_PRUNE not in merged_environment({}) else {}

    async def load(self) -> None:
        """Take over what an earlier sidecar has left, within 2 s. Does not raise."""
        try:
            found = await self._reading.run(_FILE_SECONDS)
        except NewerJobs as error:
            log.warning("%s; it is left as it is, and jobs are not kept", error)
            self._may_write, found = False, []
        except TimeoutError:
            log.warning("The jobs of an earlier sidecar cannot be read yet: the disk does not answer")
            return
        self._is_loaded = True
        self._entries = {kept.job.id: self._taken_over(kept) for kept in found} | self._entries
        self._prune()
        self._hub.publish(self._listed())

    async def run(self) -> None:
        """Carry out what is to be done, until `close`. What has not ended by then goes on with the next sidecar."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._begin_all()
                writer = tasks.create_task(self._keep_file())
                await self._closing.wait()
                for entry in self._entries.values():
                    if entry.task:
                        entry.task.cancel()
                writer.cancel()
        finally:
            self.close()
            self._tasks = None

    def close(self) -> None:
        """Make `run` return, with every connection closed. Whoever waits for a job gets it as it is."""
        self._closing.set()
        for entry in self._entries.values():
            entry.ended.set()
            if entry.later:
                entry.later.cancel()
                entry.later = None

    def _entry(self, id: str) -> _Entry:
        if id not in self._entries:
            raise NoSuchJob(f"There is no job {id[:40]!r}.", action="GET /api/ollama/jobs lists all that there are.")
        return self._entries[id]

    def _taken_over(self, kept: KeptJob) -> _Entry:
        if kept.job.is_ended:
            return _Entry(kept.job, kept.name, Progress(kept.job.percent))
        if kept.job.instance not in self._fleet:
            error = f"The settings do not name the instance {kept.job.instance} any more."
            job = replace(kept.job, state=JobState.FAILED, error=error, ended_at=time.time())
            return _Entry(job, kept.name, Progress())
        job = replace(kept.job, state=JobState.QUEUED, step=texts.WAITS_FOR_TURN)
        return _Entry(job, kept.name, Progress(kept.job.percent))

    def _begin_all(self) -> None:
        for entry in self._entries.values():
            self._begin(entry)

    def _begin(self, entry: _Entry) -> None:
        if self._tasks and not entry.job.is_ended and entry.task is None:
            entry.task = self._tasks.create_task(self._carry_out(entry))

    async def _carry_out(self, entry: _Entry) -> None:
        """One job to its end. The end of the sidecar leaves it as it is."""
        supervisor = self._fleet[entry.job.instance]
        download = Download(
            supervisor,
            entry.name,
            entry.progress,
            self._slots,
            on_state=lambda is_running, step: self._on_state(entry, is_running=is_running, step=step),
            on_progress=lambda: self._on_progress(entry),
            others_left=lambda: sum(
                other.left
                for other in self._entries.values()
                if other is not entry
                and other.job.state is JobState.RUNNING
                and other.job.instance == entry.job.instance
            ),
        )
        try:
            await download.run()
        except asyncio.CancelledError:
            if not entry.is_cancelled:
                raise
            self._end(entry, JobState.CANCELLED)
            return
        except Exception as fault:
            error = (
                fault
                if isinstance(fault, CoreError)
                else PullFailed(entry.job.model, "It failed; the sidecar's log says why.")
            )
            if error is not fault:
                log.exception("The download of %s failed", entry.name)
            self._end(entry, JobState.FAILED, in_sentences(error.message, error.action))
            return
        entry.is_whole = True
        # First, so that whoever hears of the end finds the model in the list.
        await supervisor.list_models_again()
        self._end(entry, JobState.DONE)

    def _on_state(self, entry: _Entry, *, is_running: bool, step: str) -> None:
        state = JobState.RUNNING if is_running else JobState.QUEUED
        if (state, step) != (entry.job.state, entry.job.step):
            job = _with_progress(entry)
            entry.job = replace(job, state=state, step=step, bytes_per_second=None, seconds_left=None)
            self._tell(entry)

    def _on_progress(self, entry: _Entry) -> None:
        """Publish how far it is, at once or as soon as a quarter of a second has passed since the last time."""
        if entry.later is not None:
            return
        loop = asyncio.get_running_loop()
        due = entry.told_at + PROGRESS_SECONDS
        if loop.time() >= due:
            self._tell_progress(entry)
        else:
            entry.later = loop.call_at(due, self._tell_progress, entry)

    def _tell_progress(self, entry: _Entry) -> None:
        entry.later = None
        if entry.job.state is JobState.RUNNING:
            is_size_news = entry.progress.total != entry.job.total
            entry.job = _with_progress(entry)
            self._tell(entry, is_kept=is_size_news)

    def _end(self, entry: _Entry, state: JobState, error: str | None = None) -> None:
        job = _with_progress(entry)
        percent = 100 if state is JobState.DONE else job.percent
        entry.job = replace(
            job,
            state=state,
            step="",
            percent=percent,
            completed=job.total or 0 if state is JobState.DONE else job.completed,
            bytes_per_second=None,
            seconds_left=None,
            error=error,
            ended_at=time.time(),
        )
        log.info("Pull of %s: %s%s", job.model, state, f": {error}" if error else "")
        self._prune()
        self._tell(entry)
        entry.ended.set()

    def _tell(self, entry: _Entry, *, is_kept: bool = True) -> None:
        """Publish what has changed, and have it written down if `is_kept`."""
        if entry.later:
            entry.later.cancel()
            entry.later = None
        entry.told_at = asyncio.get_running_loop().time()
        self._events.publish(EventType.JOB, entry.job.instance, entry.job)
        self._hub.publish(self._listed())
        if is_kept:
            self._changed.set()

    def _listed(self) -> tuple[Job, ...]:
        return tuple(entry.job for entry in reversed(self._entries.values()))

    def _prune(self) -> None:
        """Forget what ended more than a day ago, and more than 50 that have ended."""
        ended = [entry.job for entry in self._entries.values() if entry.job.is_ended]
        ended.sort(key=lambda job: job.ended_at or 0.0)
        oldest = time.time() - ENDED_SECONDS
        for place, job in enumerate(ended):
            if len(ended) - place > MOST_ENDED or (job.ended_at or 0.0) < oldest:
                del self._entries[job.id]

    async def _keep_file(self) -> None:
        """Write down each change, soon after it. While the disk does not take it, try again."""
        while True:
            await self._changed.wait()
            if not self._is_loaded:
                await self.load()
                self._begin_all()
            if not self._is_loaded or not await self._write(_FILE_SECONDS):
                await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self, seconds: float) -> bool:
        """Write all jobs down as they are, within that time; False if that was not possible."""
        if not self._is_loaded:
            return False
        if not self._may_write:
            self._changed.clear()
            return True
        self._content = job_file.encoded([KeptJob(entry.job, entry.name) for entry in self._entries.values()])
        self._changed.clear()
        try:
            await self._writing.run(seconds)
        except (TimeoutError, OSError) as error:
            if self._was_written:
                log.warning("%s cannot be written: %s", job_file.job_path(self._paths), error)
            self._was_written = False
            self._changed.set()
            return False
        self._was_written = True
        return True


def _with_progress(entry: _Entry) -> Job:
    progress, now = entry.progress, time.monotonic()
    if progress.total is None:
        return replace(entry.job, step=progress.step or entry.job.step)
    return replace(
        entry.job,
        step=progress.step,
        completed=progress.completed,
        total=progress.total,
        percent=progress.percent,
        bytes_per_second=progress.bytes_per_second(now),
        seconds_left=progress.seconds_left(now),
    )
