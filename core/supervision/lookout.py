"""What is asked about the Ollama at hand, whoever wants to know: looks, lists of models, and the end of one not ours.

Everything here is shared: it runs once at a time, and posts what it found. Belongs to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from core.supervision.messages import InMemory, Installed
from core.supervision.once import Do, Once
from core.supervision.published import Published
from core.supervision.state import TRANSIENT, UP, State
from core.supervision.tasks import Errands

FRESH_SECONDS = 0.25
LOOK_SECONDS = 0.3
_LIST_SECONDS = 2.0


class Lookout:
    """The questions about one Ollama after the other. A glance is a look of fewer wake-ups, some of it up to 15 s old.

    `epoch` counts the Ollamas and the states: what was asked about in one epoch says nothing about the next.
    """

    def __init__(self, errands: Errands, do: Do, now: Published, managed_url: Callable[[], str | None]) -> None:
        self.epoch = 0
        self.look = Once(do, self._look)
        self.glance = Once(do, lambda: self._see(is_glance=True))
        self.list_models = Once(do, lambda: errands.list_models(now.status.url, self.epoch))
        self.list_loaded = Once(do, lambda: errands.list_loaded(now.status.url, self.epoch))
        self._errands = errands
        self._do = do
        self._now = now
        self._managed_url = managed_url
        self._end: asyncio.Task[None] | None = None

    def begin_epoch(self) -> None:
        """Another Ollama is there, or none: list what it has, and wait for its end if nobody else does."""
        self.epoch += 1
        self.list_models.forget()
        self.list_loaded.forget()
        if self._end:
            self._end.cancel()
            self._end = None
        status = self._now.status
        if status.state in UP:
            self.list_models()
            self.list_loaded()
        if status.state is State.EXTERNAL and status.pid is not None:
            self._end = self._do(self._notice_end(status.pid))

    def listed(self, answer: Installed | InMemory) -> None:
        """Note which models there are, or are in memory. Told by the machine, of this epoch."""
        if self._now.status.state not in UP:
            return
        if isinstance(answer, Installed):
            self.list_models.news_at = time.monotonic()
            models = self._now.status.models if answer.models is None else answer.models
            self._now.change(models=models, models_error=answer.error)
        elif answer.names is not None:
            self.list_loaded.news_at = time.monotonic()
            self._now.change(loaded=answer.names)

    async def freshen(self) -> None:
        """Have a status that is at most 250 ms old, what is loaded included, unless that takes more than 300 ms.

        While Ollama hangs nothing more is asked than whether it still does.
        """
        status = self._now.status
        asked = [] if status.state in TRANSIENT else self.look.fresher_than(FRESH_SECONDS)
        if status.state in UP and status.error is None:
            asked += self.list_loaded.fresher_than(FRESH_SECONDS)
        if asked:
            await asyncio.wait(asked, timeout=LOOK_SECONDS)

    async def freshen_models(self) -> bool:
        """Have models that were listed at most 250 ms ago. False if they cannot be had within 2 s, or are none."""
        if asked := self.look.fresher_than(FRESH_SECONDS):
            await asyncio.wait(asked, timeout=LOOK_SECONDS)
        if self._now.status.state not in UP or self._now.status.error is not None:
            return False
        if asked := self.list_models.fresher_than(FRESH_SECONDS):
            await asyncio.wait(asked, timeout=_LIST_SECONDS)
        return all(task.done() for task in asked)

    async def _look(self) -> None:
        began = time.monotonic()
        await self._see(is_glance=False)
        self.look.news_at = began

    def _see(self, *, is_glance: bool) -> Coroutine[Any, Any, None]:
        return self._errands.see(self._managed_url(), self.epoch, is_glance=is_glance)

    async def _notice_end(self, pid: int) -> None:
        await self._errands.wait_end(pid)
        # Not awaited: what it finds may begin an epoch, which cancels this task.
        self.look()
