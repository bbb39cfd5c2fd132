"""Keeps the status of the Ollama at hand fresh: observations, lists of models, and the end of one that is not ours.

Each kind of refresh runs once at a time, is shared by all who ask for it, and posts what it found. Belongs to the
supervisor's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from core.supervision.messages import InstalledModels, LoadedModels
from core.supervision.published import Published
from core.supervision.shared_task import CreateTask, SharedTask
from core.supervision.state import TRANSIENT, UP, State
from core.supervision.tasks import Tasks

FRESH_SECONDS = 0.25
OBSERVE_SECONDS = 0.3
OWNER_SECONDS = 6.0
"""How long a wish waits for the first word of the owner in force: longer than a call of it, so that it says why not."""
_LIST_SECONDS = 2.0


class Refresher:
    """The refreshes of one instance. `observe_cached` takes fewer wake-ups; some of what it finds is up to 15 s old.

    `epoch` is counted up at each change of state and of the Ollama: an answer says nothing about a later epoch.
    """

    def __init__(
        self, tasks: Tasks, create_task: CreateTask, now: Published, managed_url: Callable[[], str | None]
    ) -> None:
        self.epoch = 0
        self.observe = SharedTask(create_task, self._observe)
        self.observe_cached = SharedTask(create_task, lambda: self._post_observation(allow_cached=True))
        self.list_models = SharedTask(create_task, lambda: tasks.list_models(now.status.url, self.epoch))
        self.list_loaded = SharedTask(create_task, lambda: tasks.list_loaded(now.status.url, self.epoch))
        self._tasks = tasks
        self._create_task = create_task
        self._now = now
        self._managed_url = managed_url
        self._end: asyncio.Task[None] | None = None
        self._is_again = False

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
            self._end = self._create_task(self._notice_end(status.pid))

    def on_listed(self, answer: InstalledModels | LoadedModels) -> None:
        """Store the installed or the loaded models. The machine calls it, for answers of this epoch only."""
        if self._now.status.state not in UP:
            return
        if isinstance(answer, InstalledModels):
            self.list_models.updated_at = time.monotonic()
            models = self._now.status.models if answer.models is None else answer.models
            self._now.change(models=models, models_error=answer.error)
        elif answer.names is not None:
            self.list_loaded.updated_at = time.monotonic()
            self._now.change(loaded=answer.names)

    async def refresh(self) -> None:
        """Make the status, loaded models included, at most 250 ms old. Gives up after 300 ms.

        While Ollama hangs it is only probed.
        """
        status = self._now.status
        asked = [] if status.state in TRANSIENT else self.observe.fresher_than(FRESH_SECONDS)
        if status.state in UP and status.error is None:
            asked += self.list_loaded.fresher_than(FRESH_SECONDS)
        if asked:
            await asyncio.wait(asked, timeout=OBSERVE_SECONDS)

    async def refresh_models(self) -> bool:
        """Have models that were listed at most 250 ms ago. False if that takes over 2 s, or if no Ollama is up."""
        if asked := self.observe.fresher_than(FRESH_SECONDS):
            await asyncio.wait(asked, timeout=OBSERVE_SECONDS)
        if self._now.status.state not in UP or self._now.status.error is not None:
            return False
        if asked := self.list_models.fresher_than(FRESH_SECONDS):
            await asyncio.wait(asked, timeout=_LIST_SECONDS)
        return all(task.done() for task in asked)

    async def follow(self, seconds: float) -> None:
        """Have in force what the settings say now. Gives up after that many seconds.

        An observation that begins after this call is in the status, and so is what an owner that was not in force so
        far runs.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                epoch = -1
                # One that began in an earlier epoch was dropped.
                while epoch != self.epoch:
                    epoch = self.epoch
                    await self.observe.again()
                await self._tasks.owner_looked()

    async def list_again(self) -> None:
        """Have the lists of models as they are after this call, unless that takes more than 2 s."""
        if self._now.status.state in UP:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LIST_SECONDS):
                    await asyncio.gather(self.list_models.again(), self.list_loaded.again())

    def observe_again(self) -> None:
        """Observe once more: the machine could make nothing of the last one. Who asks for the status waits for it."""
        self._is_again = True
        self.observe.updated_at = float("-inf")
        self.observe()

    async def observe_until_answer(self, is_there: Callable[[], bool]) -> None:
        """Observe one that its owner has just started, while it is there, so that its first answer is seen soon."""
        pause = 0.1
        while is_there() and pause < OBSERVE_SECONDS * 10:
            await asyncio.wait([self.observe()], timeout=OBSERVE_SECONDS)
            if self._now.status.error is None:
                return
            await asyncio.sleep(pause)
            pause *= 1.5

    async def _observe(self) -> None:
        while True:
            self._is_again, began = False, time.monotonic()
            await self._post_observation(allow_cached=False)
            if not self._is_again:
                break
        self.observe.updated_at = began

    def _post_observation(self, *, allow_cached: bool) -> Coroutine[Any, Any, None]:
        return self._tasks.post_observation(self._managed_url(), self.epoch, allow_cached=allow_cached)

    async def _notice_end(self, pid: int) -> None:
        await self._tasks.wait_end(pid)
        # Not awaited: its result may begin an epoch, which cancels this task.
        self.observe()
