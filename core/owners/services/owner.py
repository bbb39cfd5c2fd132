"""The owner of one service that the user named. Contract: `protocol.Owner`.

Nothing else of its manager is started or stopped, and nothing is installed. What the manager starts again by itself, we
do not. The manager is asked every 2 s as long as this owner is in force, since it tells nobody of a start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from core.endpoint import Endpoint
from core.errors import ConfigError, SpawnFailed, StartUnanswered, StopFailed
from core.owners.alike import set_within, taken_back
from core.owners.copied import LogCopy
from core.owners.exit import Sequel
from core.owners.logs import Logs, logs_of
from core.owners.protocol import News, Plan, Terms
from core.owners.services.copy import FileCopy
from core.owners.services.manager import Manager, Seen, ServiceFailed, in_words
from core.owners.services.run import ServiceRun
from core.platform import birth
from core.settings.paths import Paths
from core.threads.single_flight import within

log = logging.getLogger(__name__)

_POLL_SECONDS = 2.0
_COPY_SECONDS = 0.5
_START_SECONDS = 15.0
_START_POLL_SECONDS = 0.1
_TAKE_BACK_SECONDS = 5.0
T = TypeVar("T")


class ServiceOwner:
    """Runs the Ollama of one service. `text` is the owner in the settings."""

    def __init__(self, paths: Paths, text: str, manager: Manager) -> None:
        self.text = text
        self.manager = manager
        self._paths = paths
        self._runs: dict[str, ServiceRun] = {}
        self._seen: Seen | None = None
        self._looking = asyncio.Lock()

    async def find(self, grace: float) -> Sequence[ServiceRun]:
        """Contract: `Owner.find`. None: which instance has this owner is known to `attend` only."""
        return ()

    async def find_late(self, instance: str) -> Sequence[ServiceRun]:
        """Contract: `Owner.find_late`."""
        return ()

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        """Contract: `Owner.attend`."""
        copying = asyncio.create_task(self._copy(instance, terms))
        try:
            while True:
                try:
                    await self._attend_once(instance, news)
                    news.looked(is_known=True)
                except OSError as error:
                    message, action = in_words(error)
                    news.troubled(f"{message} {action}" if action else message)
                    news.looked(is_known=False)
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)

    async def _attend_once(self, instance: str, news: News) -> None:
        seen = await self._look()
        news.troubled(None)
        last = self._runs.get(instance)
        if seen.pid is not None:
            run = await self._run(seen, instance)
            if run is not last:
                await news.found(run)
        elif last is not None and last.sequel is Sequel.RESTARTED and not seen.will_restart:
            last.sequel = None
            news.gave_up(None if seen.is_down else f"{self.manager.name} {seen.words}.")

    async def _look(self) -> Seen:
        # One look at a time, since an older answer must not take the place of a newer one.
        async with self._looking:
            self._seen = await self._ask(self.manager.look)
            return self._seen

    async def _copy(self, instance: str, terms: Terms) -> None:
        """Copy what the service prints, as long as it is attended to."""
        copy = FileCopy(LogCopy(self._paths, instance, self.text, terms.caps))
        told: str | None = None
        try:
            while True:
                if self._seen is None:
                    # Lines have a log for each run, and which one it is nobody has asked yet.
                    await asyncio.sleep(_COPY_SECONDS)
                    continue
                last = self._runs.get(instance)
                is_over = last is not None and last.process_ended.is_set() and last.pid == self._seen.pid
                try:
                    paths, env = await self._ask(lambda: (self.manager.output(), self.manager.environment()))
                    has_changed = await within(self.manager.seconds, "log", partial(copy.has_changed, paths))
                    if has_changed and self._seen.pid is None and not is_over:
                        # A run that nobody has seen yet may have printed that.
                        await self._look()
                    if has_changed or is_over:
                        await within(self.manager.seconds, "log", partial(copy.copy, paths, self._seen.run, env))
                    if is_over:
                        # What comes from here on may be the next run's.
                        await self._look()
                    told = None
                except OSError as error:
                    if str(error) != told:
                        told = str(error)
                        log.warning("what %s prints cannot be copied: %s", self.manager.name, error)
                if last is not None and not last.process_ended.is_set():
                    # The last lines of a run are copied at once when it ends: the next one prints to the same file.
                    await set_within(last.process_ended, _COPY_SECONDS)
                else:
                    await asyncio.sleep(_COPY_SECONDS)
        finally:
            copy.close()

    async def call_off(self, instance: str) -> None:
        """Contract: `Owner.call_off`."""
        try:
            await self._ask(self.manager.stop)
        except OSError as error:
            message, action = in_words(error)
            raise StopFailed(message, action=action) from error

    async def check(self, plan: Plan) -> None:
        """Contract: `Owner.check`. Refuses a service whose Ollama would not be had at the plan's address."""
        try:
            _, url = await self._ask(lambda: (self.manager.look(), self.manager.url()))
        except OSError as error:
            message, action = in_words(error)
            raise SpawnFailed(message, action=action) from error
        if not is_same(url, plan.url):
            raise SpawnFailed(
                f"The Ollama of {self.manager.name} listens at {url}, and `ollamaUrl` is {plan.url}.",
                action=self.manager.how_to_move(plan.url),
            )

    async def start(self, plan: Plan) -> ServiceRun:
        """Contract: `Owner.start`."""
        await self.check(plan)
        asking = asyncio.ensure_future(self._ask(self.manager.start))
        try:
            await asyncio.shield(asking)
            return await self._started(plan.instance)
        except asyncio.CancelledError:
            await taken_back(self._take_back(asking))
            raise
        except TimeoutError as error:
            raise StartUnanswered(f"Whether {self.manager.name} was started is not known: {error}") from error
        except OSError as error:
            message, action = in_words(error)
            raise SpawnFailed(message, action=action) from error

    async def _take_back(self, asking: asyncio.Future[None]) -> None:
        """Have the manager end what it was told to start, and what it starts only meanwhile. Raises StopFailed."""
        # Between a stop that finds nothing and the look at this, a start may be done.
        has_been_asked = asking.done()
        try:
            await self._ask(self.manager.stop)
            if not has_been_asked:
                await asyncio.wait([asking], timeout=_TAKE_BACK_SECONDS)
                if not asking.done():
                    raise StopFailed(f"{self.manager.name} was stopped, but is still being started.")
                await self._ask(self.manager.stop)
        except OSError as error:
            message, action = in_words(error)
            raise StopFailed(message, action=action) from error
        finally:
            # Nobody else hears how it failed.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _started(self, instance: str) -> ServiceRun:
        """The run, once the manager that was told to start it shows it."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            seen = await self._look()
            if seen.pid is not None:
                return await self._run(seen, instance)
            if time.monotonic() >= deadline:
                raise ServiceFailed(f"{self.manager.name} was started, and does not run: it {seen.words}.")
            await asyncio.sleep(_START_POLL_SECONDS)

    def logs(self, instance: str) -> Logs:
        """Contract: `Owner.logs`."""
        return logs_of(self._paths, instance)

    async def _run(self, seen: Seen, instance: str) -> ServiceRun:
        """The run that was seen: one object of each, whoever sees it first."""

        def made() -> ServiceRun:
            return ServiceRun(self.manager, seen, birth(seen.pid or 0), instance, self.text, self.logs(instance))

        run, last = await self._ask(made), self._runs.get(instance)
        if last is None or last.known != run.known:
            self._runs[instance] = last = run
        return last

    async def _ask(self, work: Callable[[], T]) -> T:
        return await within(self.manager.seconds, self.manager.name, work)


def is_same(told: str, wanted: str) -> bool:
    """Whether an Ollama that listens where it was told is had at the wanted URL."""
    try:
        there, here = Endpoint.parse(told), Endpoint.parse(wanted)
    except ConfigError:
        return False
    return there.port == here.port and (there.host == here.host or (there.is_local and here.is_loopback))
