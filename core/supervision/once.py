"""An errand that many may ask for and that runs once at a time: whoever asks while it is under way shares it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from core.errors import CoreError

log = logging.getLogger(__name__)

Do = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Runs a coroutine in the background, as a task of the supervisor's group."""


async def contained(errand: Coroutine[Any, Any, None]) -> None:
    """Run an errand to its end, so that it does not take the supervision along, whatever it meets."""
    try:
        await errand
    except Exception:
        log.exception("an errand failed")


def unforeseen(fault: Exception, kind: type[CoreError]) -> CoreError:
    """The error to tell for an exception that nobody has foreseen, which goes to the log."""
    log.error("an errand failed", exc_info=fault)
    return kind(f"{type(fault).__name__}: {fault}", action="The sidecar's own log has the whole story.")


class Once:
    """One kind of errand. Belongs to the supervisor's loop."""

    def __init__(self, do: Do, errand: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._do = do
        self._errand = errand
        self._task: asyncio.Task[None] | None = None
        self.news_at = float("-inf")
        """When it last brought news, in seconds on the monotonic clock; whoever draws the conclusions sets it."""

    def __call__(self) -> asyncio.Task[None]:
        """The errand under way, or a new one. It is done when its conclusions have been drawn."""
        if self._task is None or self._task.done():
            self._task = self._do(self._errand())
        return self._task

    def fresher_than(self, seconds: float) -> list[asyncio.Task[None]]:
        """What to wait for to have news that is at most so old: nothing, or the errand."""
        return [] if time.monotonic() - self.news_at <= seconds else [self()]

    def forget(self) -> None:
        """Give up the errand under way: what it asks about is no more, and nor does its last news say anything."""
        self.news_at = float("-inf")
        if self._task:
            self._task.cancel()
            self._task = None
