"""What an owner measures of one Ollama, from one reading to the next, for one whose processes cannot be seen.

An engine may take a second for a reading (Docker measures once a second), which is as long as a sample may take. So a
reading goes on beside the samples, and each sample has the newest one that is over. Belongs to the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time

from core.metrics.tree import Tree
from core.owners.protocol import Reading, Running
from core.supervision.shared_task import CreateTask

log = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
_FRESH_SECONDS = 3.0
"""How old a reading may be that a sample has without waiting."""


class ReadingMeter:
    """The readings of one instance. `create_task` runs a coroutine in the background."""

    def __init__(self, create_task: CreateTask) -> None:
        self._create_task = create_task
        self._asking: asyncio.Task[None] | None = None
        self._of: Running | None = None
        self._newest: Tree | None = None
        self._last: Reading | None = None
        self._read_at = float("-inf")
        self._cpu_seconds = 0.0

    async def newest(self, running: Running) -> Tree | None:
        """What its owner measured of it in the last seconds; None if it did not. Takes a second at most."""
        if self._asking is None or self._asking.done():
            self._asking = self._create_task(self._ask(running))
        if self._of is not running or time.monotonic() - self._read_at > _FRESH_SECONDS:
            await asyncio.wait([self._asking], timeout=_WAIT_SECONDS)
        is_fresh = self._of is running and time.monotonic() - self._read_at <= _FRESH_SECONDS
        return self._newest if is_fresh else None

    async def _ask(self, running: Running) -> None:
        try:
            reading = await running.reading()
        except Exception:
            log.exception("what Ollama (pid %d) takes cannot be asked for", running.pid)
            return
        if reading:
            self._newest, self._of = self.tree(reading), running

    def tree(self, reading: Reading) -> Tree:
        """That reading, of just now, as a tree without processes. Processor seconds go on rising over the end of a run.

        What a run that is new has used since its start is of the time since the reading before, if there was one.
        """
        now, last = time.monotonic(), self._last
        growth = cpu = None
        if reading.cpu_seconds is not None:
            before = (last.cpu_seconds or 0.0) if last and last.started_at == reading.started_at else 0.0
            growth = max(0.0, reading.cpu_seconds - before)
            self._cpu_seconds += growth
            if last is not None and now > self._read_at:
                cpu = growth / (now - self._read_at)
        self._last, self._read_at = reading, now
        return Tree(
            at=time.time(),
            started_at=reading.started_at,
            processes=None,
            cpu_seconds=None if growth is None else self._cpu_seconds,
            cpu=cpu,
            memory=reading.memory,
            threads=reading.threads,
            open_files=None,
            runners=None,
        )
