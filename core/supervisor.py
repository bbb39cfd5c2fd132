"""The only writer of state. It holds what the user wants and what is, and one task brings the two together.

Everybody else posts a wish (`start`, `stop`, `restart`), awaits a `Status`, or subscribes, on the loop that `run` runs
on. Work that takes time lives in `core.errands`: it writes nothing here and posts what it found. The messages are
handled one by one, and no handler waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, assert_never

from core import mail
from core.backoff import Backoff
from core.broadcast import Broadcast, Subscription
from core.client import Client
from core.config import Paths
from core.detect import NOT_REACHABLE, Answer
from core.endpoint import Endpoint
from core.errands import Errands
from core.errors import (
    AlreadyRunning,
    CoreError,
    Crashed,
    CrashLoop,
    NothingManaged,
    NotOurs,
    ShuttingDown,
    Superseded,
)
from core.look import Look
from core.process import Managed
from core.state import RESTING, State, Status, Wish, check_move

log = logging.getLogger(__name__)

FRESH_SECONDS = 0.25
WAIT_SECONDS = 0.3
POLL_SECONDS = 1.0
_TRANSIENT = frozenset({State.STARTING, State.STOPPING})
_DOWN_AGAIN: dict[str, Any] = {
    "pid": None,
    "owner": None,
    "by_hand": None,
    "version": None,
    "loaded": (),
    "adopted": False,
}
_GOODBYE = ShuttingDown("The sidecar is shutting down.")


class Supervisor:
    """Supervises the one Ollama that the settings in `paths` describe."""

    def __init__(self, paths: Paths) -> None:
        self._mail: asyncio.Queue[mail.Message] = asyncio.Queue()
        self._errands = Errands(paths, self._mail.put_nowait)
        self._hub = Broadcast(Status())
        self._managed: Managed | None = None
        self._is_launching = False
        self._launched_from: Look | None = None
        self._failing: CoreError | None = None
        self._closing: mail.Close | None = None
        self._is_over = False
        self._up: list[asyncio.Future[Status]] = []
        self._down: list[asyncio.Future[Status]] = []
        self._backoff = Backoff()
        self._ready_at = 0.0
        self._restart_on_crash = False
        self._epoch = 0
        self._looked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._external_watch: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Adopt, look, then serve wishes until `close`. Run it once, as a task."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._begin()
                self._do(self._poll())
                while not self._may_end():
                    self._handle(await self._mail.get())
                self._is_over = True
                for task in self._background:
                    task.cancel()
        finally:
            self._is_over = True
            self._settle(self._up, _GOODBYE)
            self._settle(self._down, _GOODBYE)
            if self._managed:
                self._managed.let_go()
            await self._errands.close()

    def subscribe(self) -> AbstractContextManager[Subscription[Status]]:
        """Snapshots as they change: the current one first."""
        return self._hub.subscribe()

    async def status(self) -> Status:
        """The state of now: never `unknown`, and looked at within the last 250 ms unless Ollama takes its time.

        Waits for the first look; after that 300 ms at most, and then the last snapshot stands, as old as it is.
        """
        await self._looked.wait()
        current = self._hub.current
        if current.state in _TRANSIENT:
            return replace(current, seen_at=time.monotonic())
        if time.monotonic() - current.seen_at > FRESH_SECONDS and not self._is_over:
            await asyncio.wait([self._look_once()], timeout=WAIT_SECONDS)
        return self._hub.current

    async def start(self, *, by_user: bool = False) -> Status:
        """Have an Ollama up: returns once it is ready, at once if it is. Raises the CoreError that says why not.

        Concurrent starts join the one in flight; a later `stop` ends it with Superseded. A start that has just failed
        is not tried again within 10 s unless the settings have changed or `by_user` is set.
        """
        return await self._wish(lambda done: mail.Start(done, by_user))

    async def stop(self) -> Status:
        """Have no managed Ollama: returns once its whole tree is gone.

        Raises NothingManaged, or NotOurs for an external one, which is left alone; StopFailed if it cannot be ended.
        """
        return await self._wish(mail.Stop)

    async def restart(self) -> Status:
        """Stop what is managed, if anything, then start. Raises what these raise."""
        if self._hub.current.is_managed:
            await self.stop()
        return await self.start(by_user=True)

    async def client(self) -> Client:
        """A client for the endpoint that `status` describes. Raises ConfigError if that is no valid URL."""
        await self._looked.wait()
        return self._errands.looker.client(Endpoint.parse(self._hub.current.url))

    def close(self, *, stop_ollama: bool) -> None:
        """Make `run` return, with the managed Ollama stopped or left running. Wishes are refused from now on."""
        self._mail.put_nowait(mail.Close(stop_ollama))

    async def _wish(self, make: Callable[[asyncio.Future[Status]], mail.Message]) -> Status:
        await self._looked.wait()
        if self._is_over or self._closing:
            raise _GOODBYE
        done: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._mail.put_nowait(make(done))
        return await done

    async def _begin(self) -> None:
        managed, look = await self._errands.adopt()
        if managed:
            self._managed = managed
            self._ready_at = time.monotonic()
            self._move(State.RUNNING, wanted=Wish.UP, pid=managed.record.pid, adopted=True, url=managed.record.url)
            self._do(self._errands.watch(managed))
        self._see(look)
        self._looked.set()
        if look.setup.settings.sidecar.start_on_launch and not self._hub.current.is_running:
            self._on_start(mail.Start(asyncio.get_running_loop().create_future(), by_user=False))

    def _do(self, errand: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(errand)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._hub.current.state not in _TRANSIENT:
                await asyncio.wait([self._look_once()])

    def _look_once(self) -> asyncio.Task[None]:
        """The look in flight, or a new one. It is done when the supervisor has drawn its conclusions."""
        if self._looking is None or self._looking.done():
            url = self._managed.record.url if self._managed else None
            self._looking = self._do(self._errands.look(url, self._epoch))
        return self._looking

    def _may_end(self) -> bool:
        if self._closing is None or self._is_launching:
            return False
        return self._managed is None or not self._closing.stop_ollama

    def _handle(self, message: mail.Message) -> None:  # noqa: C901 - one line a message, and none can be forgotten
        match message:
            case mail.Start():
                self._on_start(message)
            case mail.Stop():
                self._on_stop(message)
            case mail.Close():
                self._on_close(message)
            case mail.UpAlready():
                self._on_up_already(is_elsewhere=False)
            case mail.Elsewhere():
                self._on_up_already(is_elsewhere=True)
            case mail.Cleared():
                self._on_cleared(message)
            case mail.Refused():
                self._on_refused(message)
            case mail.Spawned():
                self._on_spawned(message)
            case mail.NotSpawned():
                self._on_not_spawned(message)
            case mail.Ready():
                self._on_ready(message)
            case mail.NotReady():
                self._on_not_ready(message)
            case mail.Ended():
                self._on_ended(message)
            case mail.Unstoppable():
                self._on_unstoppable(message)
            case mail.Seen():
                self._on_seen(message)
            case mail.Retry():
                self._on_retry(message)
            case _:
                assert_never(message)

    def _on_start(self, wish: mail.Start) -> None:
        self._up.append(wish.done)
        self._change(wanted=Wish.UP)
        if wish.by_user:
            self._errands.memory.forget()
            self._backoff.reset()
        if self._hub.current.state not in _TRANSIENT:
            self._launch()

    def _on_stop(self, wish: mail.Stop) -> None:
        self._change(wanted=Wish.DOWN)
        self._errands.memory.forget()
        self._failing = None
        self._settle(self._up, Superseded("The start was interrupted by a stop."))
        state = self._hub.current.state
        if state not in RESTING:
            self._down.append(wish.done)
            self._begin_stop()
        elif state is State.BACKOFF or self._is_launching:
            self._rest()
            self._settle([wish.done])
        else:
            self._rest()
            self._do(self._refuse_stop(wish.done))

    def _on_close(self, wish: mail.Close) -> None:
        self._closing = wish
        self._settle(self._up, _GOODBYE)
        if wish.stop_ollama:
            self._change(wanted=Wish.DOWN)
            if self._hub.current.state not in RESTING:
                self._begin_stop()

    def _rest(self) -> None:
        """Leave backoff and failed behind: nobody wants an Ollama any more."""
        if self._hub.current.state in (State.BACKOFF, State.FAILED):
            self._move(State.STOPPED, failure=None)

    async def _refuse_stop(self, done: asyncio.Future[Status]) -> None:
        await asyncio.wait([self._look_once()], timeout=WAIT_SECONDS)
        status = self._hub.current
        if status.state is State.EXTERNAL:
            owner = status.owner or "somebody else"
            error: CoreError = NotOurs(
                NothingManaged.title, action=f"It belongs to {owner}. {status.by_hand or ''}".strip()
            )
        else:
            error = NothingManaged(NothingManaged.title)
        self._settle([done], error)

    def _launch(self) -> None:
        if self._is_launching:
            return
        self._is_launching = True
        self._do(self._errands.prepare(self._managed))

    def _on_up_already(self, *, is_elsewhere: bool) -> None:
        self._is_launching = False
        state = self._hub.current.state
        if state is State.RUNNING and self._up and is_elsewhere:
            self._begin_stop()
        elif state is State.RUNNING:
            self._settle(self._up)
        elif state in RESTING and self._up:
            # It ended while the start was looking at it.
            self._launch()

    def _on_cleared(self, news: mail.Cleared) -> None:
        if self._hub.current.wanted is Wish.DOWN or self._closing:
            self._is_launching = False
            return
        self._launched_from = news.look
        self._move(State.STARTING, **_DOWN_AGAIN, failure=None, error=NOT_REACHABLE, url=news.look.url)
        self._do(self._errands.spawn(news.plan, news.look.setup.settings.sidecar.ready_timeout))

    def _on_refused(self, news: mail.Refused) -> None:
        self._is_launching = False
        if self._hub.current.state is State.BACKOFF and not isinstance(news.error, AlreadyRunning):
            self._move(State.FAILED, failure=news.error)
        self._see(news.look)
        if self._hub.current.state is not State.FAILED:
            self._change(wanted=Wish.DOWN)
        self._settle(self._up, news.error)

    def _on_spawned(self, news: mail.Spawned) -> None:
        self._is_launching = False
        self._managed = news.managed
        self._do(self._errands.watch(news.managed))
        if self._hub.current.state is State.STOPPING:
            self._do(self._errands.stop(news.managed))
            return
        self._change(pid=news.managed.record.pid)
        self._do(self._errands.await_ready(news.managed, news.ready_timeout, self._is_starting))

    def _is_starting(self, managed: Managed) -> bool:
        return self._managed is managed and self._hub.current.state is State.STARTING

    def _on_not_spawned(self, news: mail.NotSpawned) -> None:
        self._is_launching = False
        if self._hub.current.state is State.STARTING:
            self._fail(news.error)
        else:
            self._stopped()

    def _on_ready(self, news: mail.Ready) -> None:
        if not self._is_starting(news.managed):
            return
        self._ready_at = time.monotonic()
        self._move(State.RUNNING, version=news.probe.version, loaded=news.probe.loaded, error=None)
        self._settle(self._up)

    def _on_not_ready(self, news: mail.NotReady) -> None:
        if self._is_starting(news.managed):
            self._failing = news.error
            self._begin_stop()

    def _begin_stop(self) -> None:
        if self._hub.current.state is State.STOPPING:
            return
        self._move(State.STOPPING)
        if self._managed:
            self._do(self._errands.stop(self._managed))

    def _on_ended(self, news: mail.Ended) -> None:
        if self._managed is not news.managed:
            return
        self._managed = None
        self._change(last_exit=news.exit)
        if self._failing:
            self._fail(self._failing)
        elif self._hub.current.state is State.STOPPING or self._hub.current.wanted is Wish.DOWN:
            self._stopped()
        elif self._hub.current.state is State.STARTING and not self._backoff.crashes:
            self._fail(news.error)
        else:
            self._crashed(news)

    def _stopped(self) -> None:
        self._move(State.STOPPED, **_DOWN_AGAIN, failure=None, error=NOT_REACHABLE)
        self._settle(self._down)
        if self._hub.current.wanted is Wish.UP and not self._closing:
            self._launch()

    def _crashed(self, news: mail.Ended) -> None:
        now = time.monotonic()
        crash = Crashed(str(news.exit), action="The log has the whole story.")
        self._settle(self._up, crash)
        if not self._restart_on_crash:
            self._move(State.FAILED, **_DOWN_AGAIN, failure=crash, error=NOT_REACHABLE)
            return
        ran_for = now - self._ready_at if self._hub.current.state is State.RUNNING else 0.0
        delay = self._backoff.crashed(now, ran_for)
        if delay is None:
            crash = CrashLoop(f"Given up after {self._backoff.crashes} crashes. {news.exit}")
            self._move(State.FAILED, **_DOWN_AGAIN, failure=crash, error=NOT_REACHABLE)
            return
        restarts = self._hub.current.restarts + 1
        self._move(State.BACKOFF, **_DOWN_AGAIN, failure=crash, error=NOT_REACHABLE, restarts=restarts)
        self._do(self._errands.retry_after(delay, self._epoch))

    def _on_retry(self, news: mail.Retry) -> None:
        if news.epoch == self._epoch and not self._closing:
            self._launch()

    def _fail(self, error: CoreError) -> None:
        self._failing = None
        if self._launched_from:
            self._errands.memory.keep(self._launched_from, error)
        self._move(State.FAILED, **_DOWN_AGAIN, failure=error, error=NOT_REACHABLE)
        self._settle(self._up, error)
        self._settle(self._down)

    def _on_unstoppable(self, news: mail.Unstoppable) -> None:
        if self._managed is not news.managed:
            return
        self._failing = None
        self._move(State.RUNNING, failure=news.error)
        self._settle(self._up, news.error)
        self._settle(self._down, news.error)
        if self._closing:
            self._closing = mail.Close(stop_ollama=False)

    def _on_seen(self, news: mail.Seen) -> None:
        if news.epoch == self._epoch:
            self._see(news.look)
        news.done.set_result(None)

    def _see(self, look: Look) -> None:
        """Draw the conclusions of a look that belongs to this epoch."""
        self._restart_on_crash = look.setup.settings.sidecar.restart_on_crash
        endpoint = look.setup.endpoint
        problem = look.setup.problem or (endpoint if isinstance(endpoint, CoreError) else None)
        self._change(install_path=look.setup.install_path, settings_problem=str(problem) if problem else None)
        state = self._hub.current.state
        if state is State.RUNNING:
            self._see_managed(look)
        elif state in RESTING:
            self._see_resting(look)

    def _see_managed(self, look: Look) -> None:
        probe = look.probe
        if probe.answer is Answer.OLLAMA:
            self._change(fresh=True, version=probe.version, loaded=probe.loaded, error=None)
        else:
            # It lives, as far as its shim says, but it does not answer: the last good snapshot grows old.
            self._change(error=probe.error)

    def _see_resting(self, look: Look) -> None:
        probe, listener, current = look.probe, look.listener, self._hub.current
        pid = listener.pid if listener else None
        owner = listener.owner if listener else None
        by_hand = listener.by_hand if listener else None
        if probe.answer is Answer.OLLAMA:
            seen = {"pid": pid, "owner": owner, "by_hand": by_hand, "version": probe.version, "loaded": probe.loaded}
            self._move(State.EXTERNAL, **seen, url=look.url, error=None, failure=None)
            return
        if current.state is State.EXTERNAL and probe.answer is Answer.SILENCE and current.url == look.url:
            self._change(error=probe.error)
            return
        state = State.STOPPED if look.setup.install_path else State.NOT_INSTALLED
        if current.state in (State.BACKOFF, State.FAILED):
            state = current.state
        self._move(state, **_DOWN_AGAIN | {"owner": owner, "by_hand": by_hand}, url=look.url, error=probe.error)

    def _move(self, state: State, **changes: Any) -> None:
        old = self._hub.current
        check_move(old.state, state)
        if old.state is not state:
            self._epoch += 1
            changes["since"] = time.monotonic()
            log.info("%s → %s%s", old.state, state, f": {error}" if (error := changes.get("failure")) else "")
        self._change(fresh=True, state=state, **changes)
        self._watch_external()

    def _change(self, *, fresh: bool = False, **changes: Any) -> None:
        if fresh:
            changes["seen_at"] = time.monotonic()
        self._hub.publish(replace(self._hub.current, **changes))

    def _watch_external(self) -> None:
        status = self._hub.current
        is_external = status.state is State.EXTERNAL and status.pid is not None
        if self._external_watch and not (is_external and not self._external_watch.done()):
            self._external_watch.cancel()
            self._external_watch = None
        if is_external and self._external_watch is None and status.pid:
            self._external_watch = self._do(self._notice_end(status.pid))

    async def _notice_end(self, pid: int) -> None:
        await self._errands.wait_end(pid)
        await asyncio.wait([self._look_once()])

    def _settle(self, waiters: list[asyncio.Future[Status]], error: CoreError | None = None) -> None:
        """Answer all waiters, with the current status or with the error, and empty the list."""
        for done in waiters:
            if done.done():
                continue
            if error:
                done.set_exception(error)
            else:
                done.set_result(self._hub.current)
        waiters.clear()
