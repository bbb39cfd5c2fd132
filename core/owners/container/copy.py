"""Copies what a container prints into its instance's log, while its owner attends to it. Belongs to the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from core.owners.alike import set_within
from core.owners.container.engine import Engine, EngineFault
from core.owners.container.facts import Container
from core.owners.container.follow import Portion, follow
from core.owners.copied import LogCopy
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 5.0
# A disk that hangs is waited for: meanwhile the engine keeps the lines, and nobody else waits for this.
_DISK_SECONDS = 1e9

Locate = Callable[[], Awaitable[tuple[Engine, Container]]]


class LineCopy:
    """The copy of one container's lines into one instance's log. Each line is written once."""

    def __init__(self, copy: LogCopy) -> None:
        self._copy = copy
        self._portion: Portion | None = None
        # One thread at a time, also if `keep` is cancelled while the disk hangs, and called again.
        self._writing = SingleFlight("container log", self._write)
        self._opening = SingleFlight("container log", copy.open)
        self._closing = SingleFlight("container log", copy.close)
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Have it look at once whether there is something to read: the container has been started."""
        self._hurried.set()

    async def keep(self, locate: Locate) -> None:
        """Copy until this is cancelled. `locate` finds the container, and raises EngineFault.

        While the engine or the disk is away it tries again, and logs that once.
        """
        pause = _RETRY_SECONDS
        told = ""
        try:
            while True:
                try:
                    at, container = await locate()
                    await self._follow(at, container)
                    pause, told = _RETRY_SECONDS, ""
                    await _next_event(at, container)
                except (EngineFault, OSError) as fault:
                    if str(fault) != told:
                        told = str(fault)
                        log.warning("what the container prints cannot be copied at present: %s", told)
                except Exception:
                    log.exception("what the container prints cannot be copied")
                if await set_within(self._hurried, pause):
                    self._hurried.clear()
                    pause = _RETRY_SECONDS
                else:
                    pause = min(pause * 1.5, _LONGEST_RETRY_SECONDS)
        finally:
            await self._closing.run(_DISK_SECONDS)

    async def _follow(self, at: Engine, container: Container) -> None:
        self._copy.conceal(container.environment)
        cursor = await self._opening.run(_DISK_SECONDS)
        async with aclosing(follow(at, container, cursor)) as portions:
            async for self._portion in portions:
                await self._writing.run(_DISK_SECONDS)

    def _write(self) -> None:
        if self._portion:
            self._copy.write(*self._portion)


async def _next_event(at: Engine, before: Container) -> None:
    """Wait until there may be more to read: the container runs, or something has happened to it."""
    async with aclosing(at.events(before.id)) as events:
        async for event in events:
            if event.action or (await at.inspect(before.id)).runs:
                return
