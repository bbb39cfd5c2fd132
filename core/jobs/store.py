"""Keeps `run/jobs.json` in step with the jobs, off the loop. While the disk does not take it, it tries again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from core.jobs import job_file
from core.jobs.job_file import KeptJob, NewerJobs
from core.settings.paths import Paths
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

_FILE_SECONDS = 2.0
_RETRY_SECONDS = 5.0


class JobStore:
    """The file of one data folder. Belongs to one loop. Nothing is written before what is there has been read."""

    def __init__(self, paths: Paths, kept: Callable[[], Sequence[KeptJob]]) -> None:
        """`kept` are the jobs of now."""
        self._path = job_file.job_path(paths)
        self._kept = kept
        self._content = ""
        self._changed = asyncio.Event()
        self._reading = SingleFlight("read jobs", lambda: job_file.read(paths))
        self._writing = SingleFlight("write jobs", lambda: job_file.write(paths, self._content))
        self._is_read = False
        self._is_ours = True
        self._was_written = True

    def change(self) -> None:
        """Have the file written soon: the jobs have changed. Returns at once."""
        self._changed.set()

    @property
    def is_behind(self) -> bool:
        """Whether the jobs have changed since they were written last."""
        return self._changed.is_set()

    async def load(self) -> Sequence[KeptJob]:
        """What the file holds, within 2 s; nothing if it has been read already, or the disk does not answer."""
        if self._is_read:
            return []
        try:
            found = await self._reading.run(_FILE_SECONDS)
        except NewerJobs as error:
            log.warning("%s; it is left as it is, and jobs are not kept", error)
            self._is_ours, found = False, []
        except (TimeoutError, OSError) as error:
            log.warning("%s cannot be read yet: %s", self._path, error)
            return []
        self._is_read = True
        return found

    async def save(self, seconds: float) -> bool:
        """Write all jobs down as they are, within that time; False if that was not possible."""
        if not self._is_read:
            return False
        self._changed.clear()
        if not self._is_ours:
            return True
        self._content = job_file.encoded(self._kept())
        try:
            await self._writing.run(seconds)
        except (TimeoutError, OSError) as error:
            if self._was_written:
                log.warning("%s cannot be written: %s", self._path, error)
            self._was_written = False
            self._changed.set()
            return False
        self._was_written = True
        return True

    async def run(self, on_read: Callable[[Sequence[KeptJob]], None]) -> None:
        """Write each change down, for ever. `on_read` gets what could not be read at first, once it can."""
        while True:
            await self._changed.wait()
            if not self._is_read:
                on_read(await self.load())
            if not await self.save(_FILE_SECONDS):
                await asyncio.sleep(_RETRY_SECONDS)
