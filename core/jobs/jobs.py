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
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from core.errors import CoreError, NoSuchJob, PullFailed
from core.events.history import EventHistory, EventType
from core.events.snapshots import Broadcast, Subscription
from core.jobs import texts
from core.jobs.attempt import Download, check_settings, is_up
from core.jobs.entry import Entry
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob
from core.jobs.progress import Progress
from core.jobs.store import JobStore
from core.ollama.model_name import ModelName
from core.platform import merged_environment
from core.settings.paths import DEFAULT_INSTANCE, Paths
from core.supervision.fleet import Fleet
from core.supervision.published import shutting_down
from core.supervision.state import State
from core.text import in_sentences

log = logging.getLogger(__name__)

AT_ONCE = 2
"""How many downloads run at the same time; others wait for their turn."""
MOST_PENDING = 100
MOST_ENDED = 50
ENDED_SECONDS = 24 * 3600.0
PROGRESS_SECONDS = 0.25
KEPT_SECONDS = 10.0
"""How often progress is written down, beside each change of state."""
_PROMISE_SECONDS = 1.0
_NOTES_SECONDS = 0.3
_NO_PRUNE = "OLLAMA_NOPRUNE"


class Jobs:
    """Pulls of models. `load` it before the first start of an Ollama, `run` it once, as a task, and `close` it."""

    def __init__(self, paths: Paths, fleet: Fleet, events: EventHistory) -> None:
        self._fleet = fleet
        self._events = events
        self._entries: dict[str, Entry] = {}
        """By id, oldest first."""
        self._received_before: Counter[str] = Counter()
        """By instance, what jobs that are listed no more have brought."""
        self._hub: Broadcast[tuple[Job, ...]] = Broadcast(())
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._was_read = asyncio.Event()
        self._store = JobStore(paths, lambda: [KeptJob(entry.job, entry.name) for entry in self._entries.values()])

    @property
    def all(self) -> tuple[Job, ...]:
        """All jobs that are listed, the newest first."""
        self._prune()
        return self._listed()

    def __getitem__(self, id: str) -> Job:
        """The job with that id. Raises NoSuchJob."""
        return self._entry(id).job

    def received(self, instance: str) -> int:
        """Bytes that pulls of that instance have brought since this sidecar runs. It only rises."""
        at_work = (one.progress.received for one in self._entries.values() if one.job.instance == instance)
        return self._received_before[instance] + sum(at_work)

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
        entry = self._entries[id] = Entry(job, name, Progress())
        self._tell(entry)
        self._begin(entry)
        await self._store.save(_PROMISE_SECONDS)
        return entry.job

    async def wait(self, id: str, seconds: float) -> Job:
        """That job once it has ended, or as it is after `seconds`, or at the end of the sidecar. Raises NoSuchJob."""
        await self.loaded()
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

        What Ollama has already is kept, for a later pull. The end is written down, if the disk takes that within a
        second. A job that has ended stays as it is. Raises NoSuchJob.
        """
        await self.loaded()
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
        await self._store.save(_PROMISE_SECONDS)
        return entry.job

    def start_environment(self, instance: str) -> Mapping[str, str]:
        """What a start of that instance's Ollama gets beside what the settings say.

        While a download is to go on, Ollama must not tidy up at its start, when it deletes what no model uses: what it
        has of a download that is older than an hour, and every layer that is complete.
        """
        is_pending = any(not entry.job.is_ended and entry.job.instance == instance for entry in self._entries.values())
        return {_NO_PRUNE: "1"} if is_pending and _NO_PRUNE not in merged_environment({}) else {}

    async def pause(self, instance: str) -> None:
        """Close the connections of that instance's downloads, which go on once its Ollama is up again. Within a second.

        Ollama notes how far it is with a part of a layer (100 MB and more) only when the download of that part ends. If
        it is ended amid a download, it begins all parts under way anew.
        """
        found = [entry.download for entry in self._entries.values() if entry.job.instance == instance]
        downloads = [download for download in found if download]
        if any(await asyncio.gather(*(download.pause() for download in downloads))):
            # Nothing tells when it has put its notes on the disk.
            await asyncio.sleep(_NOTES_SECONDS)

    async def load(self) -> None:
        """Take over what an earlier sidecar has left, within 2 s. Does not raise."""
        self._take_over(await self._store.load())
        self._was_read.set()

    async def loaded(self) -> None:
        """Return once `load` has: before that `all` may lack what an earlier sidecar has left."""
        await self._was_read.wait()

    async def run(self) -> None:
        """Carry out what is to be done, until `close`. What has not ended by then goes on with the next sidecar."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._begin_all()
                writer = tasks.create_task(self._store.run(self._take_over))
                await self._closing.wait()
                for entry in self._entries.values():
                    if entry.task:
                        entry.task.cancel()
                writer.cancel()
            if self._store.is_behind or any(not entry.job.is_ended for entry in self._entries.values()):
                # How far each is, for the next sidecar to begin with.
                await self._store.save(_PROMISE_SECONDS)
        finally:
            self.close()
            self._tasks = None

    def close(self) -> None:
        """Make `run` return, with every connection closed. Whoever waits for a job gets it as it is."""
        self._closing.set()
        self._was_read.set()
        for entry in self._entries.values():
            entry.ended.set()
            entry.forget_timer()

    def _entry(self, id: str) -> Entry:
        if id not in self._entries:
            raise NoSuchJob(f"There is no job {id[:40]!r}.", action="GET /api/ollama/jobs lists all that there are.")
        return self._entries[id]

    def _take_over(self, found: Sequence[KeptJob]) -> None:
        self._entries = {kept.job.id: self._taken_over(kept) for kept in found} | self._entries
        self._prune()
        self._hub.publish(self._listed())
        self._begin_all()

    def _taken_over(self, kept: KeptJob) -> Entry:
        if kept.job.is_ended:
            return Entry(kept.job, kept.name, Progress(kept.job.percent))
        if kept.job.instance not in self._fleet:
            error = f"The settings do not name the instance {kept.job.instance} any more."
            job = replace(kept.job, state=JobState.FAILED, error=error, ended_at=time.time())
            return Entry(job, kept.name, Progress())
        job = replace(kept.job, state=JobState.QUEUED, step=texts.WAITS_FOR_TURN)
        return Entry(job, kept.name, Progress(kept.job.percent))

    def _begin_all(self) -> None:
        for entry in self._entries.values():
            self._begin(entry)

    def _begin(self, entry: Entry) -> None:
        if self._tasks and not entry.job.is_ended and entry.task is None:
            entry.task = self._tasks.create_task(self._carry_out(entry))

    async def _carry_out(self, entry: Entry) -> None:
        """One job to its end. The end of the sidecar leaves it as it is."""
        supervisor = self._fleet[entry.job.instance]
        download = entry.download = Download(
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
        except CoreError as error:
            self._end(entry, JobState.FAILED, in_sentences(error.message, error.action))
            return
        except Exception:
            log.exception("The download of %s failed", entry.name)
            self._end(entry, JobState.FAILED, "It failed; the sidecar's own log says why.")
            return
        entry.is_whole = True
        # First, so that whoever hears of the end finds the model in the list.
        await supervisor.list_models_again()
        self._end(entry, JobState.DONE)

    def _on_state(self, entry: Entry, *, is_running: bool, step: str) -> None:
        if entry.move(JobState.RUNNING if is_running else JobState.QUEUED, step):
            self._tell(entry)

    def _on_progress(self, entry: Entry) -> None:
        """Publish how far it is, at once or as soon as a quarter of a second has passed since the last time."""
        if entry.later is not None:
            return
        loop = asyncio.get_running_loop()
        due = entry.told_at + PROGRESS_SECONDS
        if loop.time() >= due:
            self._tell_progress(entry)
        else:
            entry.later = loop.call_at(due, self._tell_progress, entry)

    def _tell_progress(self, entry: Entry) -> None:
        entry.later = None
        if entry.job.state is JobState.RUNNING:
            is_size_news = entry.progress.total != entry.job.total
            is_due = asyncio.get_running_loop().time() - entry.kept_at >= KEPT_SECONDS
            entry.advance()
            self._tell(entry, is_kept=is_size_news or is_due)

    def _end(self, entry: Entry, state: JobState, error: str | None = None) -> None:
        entry.end(state, error)
        log.info("Pull of %s: %s%s", entry.job.model, state, f": {error}" if error else "")
        self._prune()
        self._tell(entry)
        entry.ended.set()

    def _tell(self, entry: Entry, *, is_kept: bool = True) -> None:
        """Publish what has changed, and have it written down if `is_kept`."""
        entry.forget_timer()
        entry.told_at = asyncio.get_running_loop().time()
        self._events.publish(EventType.JOB, entry.job.instance, entry.job)
        self._hub.publish(self._listed())
        if is_kept:
            entry.kept_at = entry.told_at
            self._store.change()

    def _listed(self) -> tuple[Job, ...]:
        return tuple(entry.job for entry in reversed(self._entries.values()))

    def _prune(self) -> None:
        """Forget what ended more than a day ago, and more than 50 that have ended.

        Of those the ones go first that a later job of the same model has followed: the last one tells what became of
        the model, and whether Ollama may have a part of it.
        """
        last = {(entry.job.instance, entry.name.key): id for id, entry in self._entries.items()}
        ended = [entry for entry in self._entries.values() if entry.job.is_ended]
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
