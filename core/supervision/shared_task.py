"""A task that many may ask for and that runs once at a time: whoever asks while it is under way shares it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from core.errors import CoreError

log = logging.getLogger(__name__)

CreateTask = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Runs a coroutine in the background, as a task of the supervisor's group."""


async def log_failure(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end and log what it raises, so that it does not end the whole task group."""
    try:
        await coroutine
    except Exception:
        log.exception("a task of the supervisor failed")


def unexpected(fault: Exception, kind: type[CoreError]) -> CoreError:
    """The error of that kind for an exception that nobody has foreseen. Logs the exception with its traceback."""
    log.error("a task of the supervisor failed", exc_info=fault)
    return kind(f"{type(fault).__name__}: {fault}", action="The sidecar's own log has the whole story.")


class SharedTask:
    """One kind of task. Belongs to the supervisor's loop."""

    def __init__(self, create_task: CreateTask, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._create_task = create_task
        self._make = make
        self._task: asyncio.Task[None] | None = None
        self.updated_at = float("-inf")
        """When its last result was applied, in seconds on the monotonic clock; whoever applies it sets this."""

    def __call__(self) -> asyncio.Task[None]:
        """The task under way, or a new one. It is done once its result has been applied to the status."""
        if self._task is None or self._task.done():
            self._task = self._create_task(self._make())
        return self._task

    def fresher_than(self, seconds: float) -> list[asyncio.Task[None]]:
        """What to wait for to have news that is at most so old: nothing, or the task."""
        return [] if time.monotonic() - self.updated_at <= seconds else [self()]

    async def again(self) -> None:
        """Wait for a task that begins after this call: one under way may have asked too early."""
        if self._task and not self._task.done():
            await asyncio.wait([self._task])
        await asyncio.wait([self()])

    def forget(self) -> None:
        """Give up the task under way: what it asks about is no more, and nor does its last news say anything."""
        self.updated_at = float("-inf")
        if self._task:
            self._task.cancel()
            self._task = None
