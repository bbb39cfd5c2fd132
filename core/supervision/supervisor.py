"""The public face of supervision: wishes, the status, subscriptions, and the loop that serves them.

Everybody else posts a wish (`start`, `stop`, `restart`), awaits a `Status`, or subscribes, on the loop that `run` runs
on. `machine` alone writes state, one message after the other. Work that takes time is in `tasks`, which writes no state
and posts what it found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from core.endpoint import Endpoint
from core.events.history import EventHistory
from core.events.snapshots import Subscription
from core.ollama.client import Client
from core.ollama.error_texts import NOT_REACHABLE, TIMED_OUT
from core.owners.kinds import Owners
from core.owners.protocol import Running
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision import messages
from core.supervision.hooks import Hooks
from core.supervision.instance import Instance
from core.supervision.machine import Machine
from core.supervision.poller import Poller
from core.supervision.published import shutting_down
from core.supervision.report import SettingsReporter, StatusReporter
from core.supervision.shared_task import log_failure
from core.supervision.state import TRANSIENT, UP, ModelsNews, Status
from core.supervision.tasks import Tasks

_FOLLOW_SECONDS = 2.0


class Supervisor:
    """Supervises one instance of those that the settings in `paths` describe; `default` if none is given.

    `settings` is the given reader of the settings, or one of its own. `events` is the history of events, to which other
    features publish too; a caller that passes one publishes the changes of the settings itself. `hooks` are what rooms
    above have a say in.
    """

    def __init__(
        self,
        paths: Paths,
        reader: SettingsReader | None = None,
        instance: Instance | None = None,
        events: EventHistory | None = None,
        owners: Owners | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.instance = instance or Instance()
        self._messages: asyncio.Queue[messages.Message] = asyncio.Queue()
        self.settings = reader or SettingsReader(paths)
        self.events = EventHistory() if events is None else events
        self._tasks = Tasks(paths, self._messages.put_nowait, self.settings, self.instance, owners, hooks)
        self._machine = Machine(self._tasks, self._create_task)
        self._machine.hub.tell(StatusReporter(self.events, self._log_of_start, self.instance.id).on_status)
        if events is None:
            self.settings.hub.tell(SettingsReporter(self.events).on_settings)
        self._observed = asyncio.Event()
        self._is_over = False
        self._background: set[asyncio.Task[None]] = set()

    async def run(self, found: Sequence[Running] | None = None) -> None:
        """Adopt, observe, then serve wishes until `close`. Run it once, as a task.

        `found` is what an earlier sidecar left running for this instance; None: find it.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._machine.begin(*await self._tasks.adopt(found))
                self._observed.set()
                self._create_task(Poller(self._machine, self._tasks).run())
                while not self._machine.may_end:
                    self._machine.handle(await self._messages.get())
                self._is_over = True
                for task in self._background:
                    task.cancel()
        finally:
            self._is_over = True
            self._observed.set()
            self._machine.end()
            while not self._messages.empty():
                message = self._messages.get_nowait()
                if isinstance(message, messages.Start | messages.Stop) and not message.done.done():
                    message.done.set_exception(shutting_down())
            await self._tasks.close()

    def subscribe(self) -> AbstractContextManager[Subscription[Status]]:
        """Snapshots as they change: the current one first."""
        return self._machine.hub.subscribe()

    def tell(self, listener: Callable[[Status], None]) -> None:
        """Have `listener` called with the current snapshot, and with every change: none is left out.

        It returns at once and does not raise.
        """
        self._machine.hub.tell(listener)

    @property
    def current(self) -> Status:
        """The newest snapshot, without an observation: `unknown` before the first one."""
        return self._machine.hub.current

    @property
    def managed(self) -> Running | None:
        """Our Ollama, if its process is alive, whether or not it answers."""
        return self._machine.managed

    async def status(self) -> Status:
        """The current status: never `unknown`, and at most 250 ms old unless Ollama answers slowly.

        Waits for the first observation. After that it takes 300 ms at most, and then returns the last snapshot, however
        old it is.
        """
        await self._observed.wait()
        current = self._machine.hub.current
        if current.state in TRANSIENT:
            return replace(current, seen_at=time.monotonic())
        if not self._is_over:
            await self._machine.refresher.refresh()
        return self._machine.hub.current

    async def start(self, *, by_user: bool = False) -> Status:
        """Have an Ollama up: returns once it is ready, at once if it is. Raises the CoreError that says why it failed.

        Concurrent starts join the one in flight; a later `stop` ends it with Superseded. A start that has just failed
        is not tried again within 10 s unless the settings have changed or `by_user` is set.
        """
        return await self._wish(lambda done: messages.Start(done, by_user))

    async def stop(self) -> Status:
        """Have no managed Ollama: returns once its whole tree is gone.

        Raises NothingManaged, or NotOurs for an external one, which is left alone; StopFailed if it cannot be ended.
        """
        return await self._wish(messages.Stop)

    async def restart(self) -> Status:
        """Stop the managed Ollama, if any, then start: one wish, so that no resting state is published in between.

        Raises what `start` raises, or StopFailed. One that could not be started again goes on as it is. Starts that
        wait meanwhile get the same result.
        """
        await self._observed.wait()
        if self.managed and self.current.state in UP:
            await self._tasks.check_restart(self.managed, self.current)
        return await self._wish(lambda done: messages.Start(done, by_user=True, is_restart=True))

    async def follow_settings(self) -> None:
        """Have in force what the settings say now: whoever changes them calls this afterwards. 2 s at most.

        An owner or an address that is named anew counts from here on, in the status and for wishes.
        """
        await self._observed.wait()
        if not self._is_over:
            await self._machine.refresher.follow(_FOLLOW_SECONDS)

    async def models(self) -> ModelsNews:
        """The installed models: listed anew or, if that takes over 2 s, as last listed.

        Concurrent calls share one call of Ollama. Failures of Ollama are in the result and not raised.
        """
        await self._observed.wait()
        is_fresh = not self._is_over and await self._machine.refresher.refresh_models()
        status = self._machine.hub.current
        if status.state not in UP:
            is_misplaced = status.wanted_url is None and status.settings_problem
            return ModelsNews((), status.settings_problem if is_misplaced else status.error or NOT_REACHABLE)
        return ModelsNews(status.models, status.error or status.models_error or (None if is_fresh else TIMED_OUT))

    async def list_models_again(self) -> None:
        """Learn what one of our calls has changed about the models, and tell it: status, `models`, events. 2 s at most.

        Whoever pulls, deletes, loads or unloads a model calls this afterwards.
        """
        await self._observed.wait()
        if not self._is_over:
            await self._machine.refresher.list_again()

    async def endpoint(self) -> Endpoint:
        """Where `status` says that Ollama is, with the login of the settings. Raises ConfigError if that is no URL."""
        await self._observed.wait()
        return self._tasks.observer.with_login(Endpoint.parse(self._machine.hub.current.url))

    async def client(self) -> Client:
        """A client for the endpoint that `status` describes. Raises ConfigError if that is no valid URL.

        Its connections are others than those of observations, which go by what becomes of theirs.
        """
        await self._observed.wait()
        return self._tasks.observer.lister(Endpoint.parse(self._machine.hub.current.url))

    def in_background(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine beside everything else. It is cancelled at the end; what it raises goes to the log.

        Raises ShuttingDown if the end has come.
        """
        if self._is_over or self._machine.is_closing:
            coroutine.close()
            raise shutting_down()
        return self._create_task(coroutine)

    def judge(self, pid: int, stuck: str | None) -> None:
        """Note whether the Ollama with that pid generates: why not, or None. Of others it says nothing."""
        self._messages.put_nowait(messages.Judged(pid, stuck))

    def close(self, *, stop_ollama: bool) -> None:
        """Make `run` return, with the managed Ollama stopped or left running. Wishes are refused from now on."""
        self._messages.put_nowait(messages.Close(stop_ollama))

    async def _wish(self, make: Callable[[asyncio.Future[Status]], messages.Message]) -> Status:
        await self._observed.wait()
        if self._is_over or self._machine.is_closing:
            raise shutting_down()
        done: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._messages.put_nowait(make(done))
        return await done

    def _log_of_start(self) -> str | None:
        return self._machine.managed.log if self._machine.managed else None

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(log_failure(coroutine))
        # One that is cancelled before its first step would be reported as never awaited.
        task.add_done_callback(lambda _: coroutine.close())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
