"""Pulls of models as jobs of one data folder. Belongs to one loop.

A job is a task. It goes on whoever has asked for it, and whether anybody still listens; `listing` tells of each change.
What has not ended at the end of the sidecar the next one goes on with.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from core.errors import CoreError, PullFailed
from core.events.history import EventHistory
from core.events.snapshots import Subscription
from core.jobs import texts
from core.jobs.attempt import Download, check_settings, is_up
from core.jobs.entry import Entry
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob
from core.jobs.listing import Listing
from core.jobs.progress import Progress
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
_PROMISE_SECONDS = 1.0
_NOTES_SECONDS = 0.3
_NO_PRUNE = "OLLAMA_NOPRUNE"


class Jobs:
    """Pulls of models. `load` it before the first start of an Ollama, `run` it once, as a task, and `close` it."""

    def __init__(self, paths: Paths, fleet: Fleet, events: EventHistory) -> None:
        self._fleet = fleet
        self._listing = Listing(paths, events)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._was_read = asyncio.Event()

    @property
    def all(self) -> tuple[Job, ...]:
        """All jobs that are listed, the newest first."""
        return self._listing.jobs()

    def __getitem__(self, id: str) -> Job:
        """The job with that id. Raises NoSuchJob."""
        return self._listing[id].job

    def received(self, instance: str) -> int:
        """Bytes that pulls of that instance have brought since this sidecar runs. It only rises."""
        return self._listing.received(instance)

    def subscribe(self) -> AbstractContextManager[Subscription[tuple[Job, ...]]]:
        """`all`, as it changes: the present list first; a slow reader gets only the newest."""
        return self._listing.hub.subscribe()

    async def pull(self, name: ModelName, instance: str = DEFAULT_INSTANCE, *, patience: float = 0.0) -> Job:
        """Have that model pulled: the job that does it, a running one of the same model if there is one.

        A new one is written down first, if the disk takes that within a second. Then its end is waited for, for
        `patience` seconds at most; the job is returned also if it is listed no more by then. Raises RegistryNotAllowed;
        PullFailed if no Ollama answers and none is being started, or 100 downloads wait already; ShuttingDown; or
        KeyError if there is no such instance.
        """
        supervisor = self._fleet[instance]
        await check_settings(supervisor.settings, name)
        status = await supervisor.status()
        if self._closing.is_set():
            raise shutting_down()
        # From here to the new entry nothing is awaited, so that two wishes for one model make one job.
        if same := self._listing.pending_for(instance, name):
            return await same.until_ended(patience)
        if not is_up(status) and status.state is not State.STARTING:
            raise PullFailed(
                str(name),
                "Ollama does not answer." if status.is_running else "Ollama is not running.",
                action="Start it, and pull again.",
            )
        if len(self._listing.pending) >= MOST_PENDING:
            raise PullFailed(str(name), f"{MOST_PENDING} downloads wait already.", action="Wait until some have ended.")
        id = secrets.token_hex(6)
        job = Job(id, str(name), instance, JobState.QUEUED, time.time(), texts.ABOUT_TO_BEGIN)
        entry = Entry(job, name, Progress())
        self._listing.add(entry)
        self._begin(entry)
        await self._listing.store.save(_PROMISE_SECONDS)
        return await entry.until_ended(patience)

    async def wait(self, id: str, seconds: float) -> Job:
        """That job once it has ended, or as it is after `seconds`, or at the end of the sidecar. Raises NoSuchJob."""
        await self.loaded()
        return await self._listing[id].until_ended(seconds)

    async def cancel(self, id: str) -> Job:
        """Stop that job: its connection to Ollama is closed, by which Ollama stops its download. It stays listed.

        What Ollama has already is kept, for a later pull. The end is written down, if the disk takes that within a
        second. A job that has ended stays as it is. Raises NoSuchJob.
        """
        await self.loaded()
        entry = self._listing[id]
        if entry.job.is_ended:
            return entry.job
        entry.is_cancelled = True
        if entry.task:
            if not entry.is_whole:
                entry.task.cancel()
            await asyncio.wait([entry.task])
        if not entry.job.is_ended:
            # It had not begun yet.
            self._listing.end(entry, JobState.CANCELLED)
        await self._listing.store.save(_PROMISE_SECONDS)
        return entry.job

    def start_environment(self, instance: str) -> Mapping[str, str]:
        """What a start of that instance's Ollama gets beside what the settings say.

        While a download is to go on, Ollama must not tidy up at its start, when it deletes what no model uses: what it
        has of a download that is older than an hour, and every layer that is complete.
        """
        is_pending = any(entry.job.instance == instance for entry in self._listing.pending)
        return {_NO_PRUNE: "1"} if is_pending and _NO_PRUNE not in merged_environment({}) else {}

    async def pause(self, instance: str) -> None:
        """Close the connections of that instance's downloads, which go on once its Ollama is up again. Within a second.

        Ollama notes how far it is with a part of a layer (100 MB and more) only when the download of that part ends. If
        it is ended amid a download, it begins all parts under way anew.
        """
        found = [entry.download for entry in self._listing if entry.job.instance == instance]
        downloads = [download for download in found if download]
        if any(await asyncio.gather(*(download.pause() for download in downloads))):
            # Nothing tells when it has put its notes on the disk.
            await asyncio.sleep(_NOTES_SECONDS)

    async def load(self) -> None:
        """Take over what an earlier sidecar has left, within 2 s. Does not raise."""
        self._take_over(await self._listing.store.load())
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
                writer = tasks.create_task(self._listing.store.run(self._take_over))
                await self._closing.wait()
                for entry in self._listing:
                    if entry.task:
                        entry.task.cancel()
                writer.cancel()
            if self._listing.store.is_behind or self._listing.pending:
                # How far each is, for the next sidecar to begin with.
                await self._listing.store.save(_PROMISE_SECONDS)
        finally:
            self.close()
            self._tasks = None

    def close(self) -> None:
        """Make `run` return, with every connection closed. Whoever waits for a job gets it as it is."""
        self._closing.set()
        self._was_read.set()
        for entry in self._listing:
            entry.ended.set()
            entry.forget_timer()

    def _take_over(self, found: Sequence[KeptJob]) -> None:
        self._listing.take_over([self._taken_over(kept) for kept in found])
        self._begin_all()

    def _taken_over(self, kept: KeptJob) -> Entry:
        if kept.job.is_ended:
            return Entry(kept.job, kept.name, Progress(kept.job.percent))
        if kept.job.instance not in self._fleet:
            error = f"The settings do not name the instance {kept.job.instance} any more."
            job = replace(kept.job, state=JobState.FAILED, error=error, ended_at=time.time())
            return Entry(job, kept.name, Progress())
        job = replace(kept.job, state=JobState.QUEUED, step=texts.ABOUT_TO_BEGIN)
        return Entry(job, kept.name, Progress(kept.job.percent))

    def _begin_all(self) -> None:
        for entry in self._listing:
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
            on_state=lambda state, step: self._listing.move(entry, state, step),
            on_progress=lambda: self._listing.progressed(entry),
            others_left=lambda: sum(
                other.left
                for other in self._listing
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
            self._listing.end(entry, JobState.CANCELLED)
            return
        except CoreError as error:
            self._listing.end(entry, JobState.FAILED, in_sentences(error.message, error.action))
            return
        except Exception:
            log.exception("The download of %s failed", entry.name)
            self._listing.end(entry, JobState.FAILED, "It failed; the sidecar's own log says why.")
            return
        entry.is_whole = True
        # First, so that whoever hears of the end finds the model in the list.
        await supervisor.list_models_again()
        self._listing.end(entry, JobState.DONE)
