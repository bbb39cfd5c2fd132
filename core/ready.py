"""Waits until a managed Ollama that has just been spawned is ready: `/api/version` answered on our port by our process.

Models are no part of it. Whether it prints is measured only after half of `readyTimeout`, so that a usual start is not
held up by a disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from core import launch
from core.activity import LogGrowth
from core.detect import Answer, Probe
from core.endpoint import Endpoint
from core.errors import CoreError, StartTimedOut
from core.listener import Listener
from core.look import Looker
from core.process import Managed

EXTRA_SECONDS = 30.0
"""How much longer than `readyTimeout` a child may take that prints and does not answer yet: looking for graphics cards
may take that long on a first start."""
WAITS_FOR = "Ollama does not answer yet, but is still printing. It may be looking for graphics cards."
_FIRST_RETRY_SECONDS = 0.02
_LONGEST_RETRY_SECONDS = 0.25
_LONGEST_SILENCE_SECONDS = 10.0


class Readiness:
    """One wait for one start. `timeout` is `readyTimeout`, in seconds; the wait begins now."""

    def __init__(self, managed: Managed, looker: Looker, log: LogGrowth, timeout: float) -> None:
        self._managed = managed
        self._looker = looker
        self._log = log
        self._endpoint = Endpoint.parse(managed.record.url)
        self._timeout = timeout
        self._silence = min(timeout / 2, _LONGEST_SILENCE_SECONDS)
        self._began = time.monotonic()
        self._printed_at: float | None = None
        self._last = Answer.NOBODY
        self._is_overtime = False

    async def reached(self, is_wanted: Callable[[], bool], on_overtime: Callable[[str], None]) -> Probe | None:
        """The answer of the one that is ready; None as soon as `is_wanted` says no.

        Raises CoreError if it does not come in time. `on_overtime` is told, once, what is still waited for when the
        usual time is over.
        """
        # Apart from the questions, each of which may wait for its answer as long as there is time.
        watching = asyncio.create_task(self._watch_log())
        try:
            return await self._answered(is_wanted, on_overtime)
        finally:
            watching.cancel()

    async def _answered(self, is_wanted: Callable[[], bool], on_overtime: Callable[[str], None]) -> Probe | None:
        pause = _FIRST_RETRY_SECONDS
        while is_wanted():
            left = self._began + self._timeout + (EXTRA_SECONDS if self._is_overtime else 0.0) - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left, _FIRST_RETRY_SECONDS)):
                    if probe := await self._answer():
                        return probe
                    await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_RETRY_SECONDS)
            elapsed = time.monotonic() - self._began
            if elapsed < self._timeout:
                continue
            if elapsed >= self._timeout + EXTRA_SECONDS or not await self._may_have_more_time():
                raise await self._late(elapsed)
            if not self._is_overtime:
                self._is_overtime = True
                on_overtime(WAITS_FOR)
        return None

    async def _answer(self) -> Probe | None:
        # If the time is over before there is an answer, the port is open and silent.
        self._last = Answer.SILENCE
        probe = await self._looker.probe(self._endpoint)
        self._last = probe.answer
        return probe if probe.answer is Answer.OLLAMA and not await self._stranger() else None

    async def _watch_log(self) -> None:
        """Note when the child last printed, from the time on at which that begins to count."""
        await asyncio.sleep(self._timeout - self._silence)
        # The first measure has none before it, and so says nothing.
        await self._log.has_grown()
        while True:
            await asyncio.sleep(self._silence / 4)
            if await self._log.has_grown():
                self._printed_at = time.monotonic()

    async def _may_have_more_time(self) -> bool:
        """Whether it has printed of late and may yet answer.

        Ollama binds its port before it looks for graphics cards and answers after that, so that an open port which is
        silent is no sign of failure: https://github.com/ollama/ollama/blob/main/server/routes.go, `Serve`.
        """
        if self._printed_at is None or time.monotonic() - self._printed_at > self._silence:
            return False
        return self._last in (Answer.NOBODY, Answer.SILENCE) and await self._stranger() is None

    async def _stranger(self) -> Listener | None:
        """Who listens there, if that is known not to be ours."""
        listener = await self._looker.listener(self._endpoint)
        if listener is None or listener.pid is None:
            # Nobody lets us see whose it is: the port was free just before the spawn, and the child lives.
            return None
        return None if await asyncio.to_thread(self._managed.owns, listener.pid) else listener

    async def _late(self, elapsed: float) -> CoreError:
        if stranger := await self._stranger():
            return launch.port_in_use(self._endpoint.port, stranger)
        seconds = self._timeout if elapsed < self._timeout + 1 else round(elapsed)
        return StartTimedOut(
            f"Ollama was started but did not answer at {self._endpoint.base_url} within {seconds:g} s.",
            action="Look into the log, or allow more time with readyTimeout.",
        )
