"""What the supervisor makes of each message: the states, who waits for them, and which errand comes next.

The only writer of `Status`. The supervisor owns the one `Machine` and feeds it messages one by one; no handler waits.
Everything runs on the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any, assert_never

from core.errors import (
    AlreadyRunning,
    CoreError,
    Crashed,
    CrashLoop,
    NothingManaged,
    NotOurs,
    ShuttingDown,
    StopFailed,
    Superseded,
)
from core.events.snapshots import Broadcast
from core.ollama.words import NOT_REACHABLE
from core.owners.process import Managed
from core.shim.main import STOPPED
from core.supervision import conclusions, messages
from core.supervision.backoff import Backoff
from core.supervision.look import Look
from core.supervision.lookout import LOOK_SECONDS, Lookout
from core.supervision.once import Do
from core.supervision.state import RESTING, TRANSIENT, UP, State, Status, Wish, check_move
from core.supervision.tasks import Errands

log = logging.getLogger(__name__)

Waiters = list[asyncio.Future[Status]]


def goodbye() -> ShuttingDown:
    """The error for whoever wishes for something at the end."""
    return ShuttingDown("The sidecar is shutting down.")


class Machine:
    """The state of one supervised Ollama. `do` runs an errand in the background."""

    def __init__(self, errands: Errands, do: Do) -> None:
        self.hub = Broadcast(Status())
        self.managed: Managed | None = None
        self.is_closing = False
        self.moved = asyncio.Event()
        """Set at each change of the state; whoever waits for it clears it."""
        self.lookout = Lookout(errands, do, self.hub, lambda: self.managed.record.url if self.managed else None)
        self._errands = errands
        self._do = do
        self._is_launching = False
        self._is_ending_ollama = False
        self._launched_from: Look | None = None
        self._failing: CoreError | None = None
        self._up: Waiters = []
        self._down: Waiters = []
        self._backoff = Backoff()
        self._ready_at = 0.0
        self._restart_on_crash = False

    def begin(self, managed: Managed | None, look: Look) -> None:
        """Take over what an earlier sidecar left, if anything, and draw the conclusions of the first look."""
        if managed:
            self._take_over(managed)
        self._see(look)
        self.lookout.look.news_at = time.monotonic()
        if look.setup.settings.sidecar.start_on_launch and not self.hub.current.is_running:
            done: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
            # Nobody awaits this start; how it went is in the status.
            done.add_done_callback(lambda start: start.cancelled() or start.exception())
            self._on_start(messages.Start(done, by_user=False))

    def _take_over(self, managed: Managed) -> None:
        self.managed = managed
        self._ready_at = time.monotonic()
        record = managed.record
        ours = {"pid": record.pid, "url": record.url, "adopted": True, "owner": None, "by_hand": None}
        self._move(State.RUNNING, wanted=Wish.UP, **ours)
        self._do(self._errands.watch(managed))

    @property
    def may_end(self) -> bool:
        """Whether all that was asked for before closing is done."""
        if not self.is_closing or self._is_launching:
            return False
        return self.managed is None or not self._is_ending_ollama

    def end(self) -> None:
        """Refuse whoever still waits, and let go of an Ollama that lives on."""
        self._settle(self._up, goodbye())
        self._settle(self._down, goodbye())
        if self.managed:
            self.managed.let_go()

    def handle(self, message: messages.Message) -> None:  # noqa: C901 - one line a message, and none can be forgotten
        """Deal with one message. Raises RuntimeError for a move that the table does not know: a bug."""
        match message:
            case messages.Start():
                self._on_start(message)
            case messages.Stop():
                self._on_stop(message)
            case messages.Close():
                self._on_close(message)
            case messages.Adopted():
                self._on_adopted(message)
            case messages.UpAlready():
                self._on_up_already(message)
            case messages.GoneMeanwhile():
                self._on_gone_meanwhile()
            case messages.Cleared():
                self._on_cleared(message)
            case messages.Refused():
                self._on_refused(message)
            case messages.Spawned():
                self._on_spawned(message)
            case messages.NotSpawned():
                self._on_not_spawned(message)
            case messages.StillWaiting():
                self._on_still_waiting(message)
            case messages.Ready():
                self._on_ready(message)
            case messages.NotReady():
                self._on_not_ready(message)
            case messages.Ended():
                self._on_ended(message)
            case messages.Unstoppable():
                self._on_unstoppable(message)
            case messages.Seen():
                self._on_seen(message)
            case messages.Listed():
                self._on_listed(message)
            case messages.Loaded():
                self._on_loaded(message)
            case messages.Retry():
                self._on_retry(message)
            case _:
                assert_never(message)

    def _on_start(self, wish: messages.Start) -> None:
        self._up.append(wish.done)
        self._change(wanted=Wish.UP)
        if wish.by_user:
            self._errands.memory.forget()
            self._backoff.reset()
        if self.hub.current.state not in TRANSIENT:
            self._launch()

    def _on_stop(self, wish: messages.Stop) -> None:
        self._change(wanted=Wish.DOWN)
        self._errands.memory.forget()
        self._failing = None
        self._settle(self._up, Superseded("The start was interrupted by a stop."))
        state = self.hub.current.state
        if state not in RESTING:
            self._down.append(wish.done)
            self._begin_stop()
            return
        self._rest()
        if state is State.BACKOFF or self._is_launching:
            self._settle([wish.done])
        else:
            self._do(self._refuse_stop(wish))

    def _on_close(self, wish: messages.Close) -> None:
        self.is_closing = True
        self._is_ending_ollama = wish.stop_ollama
        self._settle(self._up, goodbye())
        if wish.stop_ollama:
            self._change(wanted=Wish.DOWN)
            if self.hub.current.state not in RESTING:
                self._begin_stop()

    def _rest(self) -> None:
        """Leave backoff and failed behind: nobody wants an Ollama any more."""
        if self.hub.current.state in (State.BACKOFF, State.FAILED):
            self._move(State.STOPPED, failure=None)

    async def _refuse_stop(self, wish: messages.Stop) -> None:
        if self.hub.current.state is State.EXTERNAL:
            await self._errands.adopt_late()
            if self.managed:
                self._on_stop(wish)
                return
        await asyncio.wait([self.lookout.look()], timeout=LOOK_SECONDS)
        status = self.hub.current
        if status.state is State.EXTERNAL:
            owner = status.owner or "somebody else"
            error: CoreError = NotOurs(
                NothingManaged.title, action=f"It belongs to {owner}. {status.by_hand or ''}".strip()
            )
        else:
            error = NothingManaged(NothingManaged.title)
        self._settle([wish.done], error)

    def _launch(self) -> None:
        if self._is_launching:
            return
        self._is_launching = True
        self._do(self._prepare())

    async def _prepare(self) -> None:
        if self.hub.current.state is State.EXTERNAL:
            await self._errands.adopt_late()
        await self._errands.prepare(self.managed, self.hub.current, self.lookout.epoch)

    def _on_adopted(self, news: messages.Adopted) -> None:
        if self.managed is None and self.hub.current.state is State.EXTERNAL:
            self._take_over(news.managed)
        _conclude(news.done)

    def _on_up_already(self, news: messages.UpAlready) -> None:
        self._is_launching = False
        if self.managed is news.managed and self.hub.current.state is State.RUNNING:
            self._settle(self._up)
        else:
            self._launch_anew()

    def _on_gone_meanwhile(self) -> None:
        self._is_launching = False
        self._launch_anew()

    def _launch_anew(self) -> None:
        """Begin a start that is still wanted once more: what it has found out is no longer so."""
        if self.hub.current.wanted is Wish.UP and not self.is_closing and self.hub.current.state in RESTING:
            self._launch()

    def _on_cleared(self, news: messages.Cleared) -> None:
        if self.hub.current.wanted is Wish.DOWN or self.is_closing:
            self._is_launching = False
            return
        if news.epoch != self.lookout.epoch:
            self._is_launching = False
            self._launch_anew()
            return
        self._launched_from = news.look
        self._restart_on_crash = news.look.setup.settings.sidecar.restart_on_crash
        self._change(**conclusions.common(news.look))
        self._go(State.STARTING, None, url=news.look.url)
        self._do(self._errands.spawn(news.plan, news.look.setup.settings.sidecar.ready_timeout))

    def _on_refused(self, news: messages.Refused) -> None:
        self._is_launching = False
        if news.epoch != self.lookout.epoch:
            if self.managed and self._up and self.hub.current.state is State.RUNNING:
                # It turned out to be ours meanwhile.
                self._launch()
            self._launch_anew()
        if self._is_launching:
            return
        if self.hub.current.state is State.BACKOFF and not isinstance(news.error, AlreadyRunning):
            self._move(State.FAILED, failure=news.error)
        if news.look and news.epoch == self.lookout.epoch:
            self._see(news.look)
        if self.hub.current.state in RESTING - {State.FAILED}:
            self._change(wanted=Wish.DOWN)
        self._settle(self._up, news.error)

    def _on_spawned(self, news: messages.Spawned) -> None:
        self._is_launching = False
        self.managed = news.managed
        self._do(self._errands.watch(news.managed))
        if self.hub.current.state is State.STOPPING:
            self._do(self._errands.stop(news.managed))
            return
        self._change(pid=news.managed.record.pid)
        self._do(self._errands.await_ready(news.managed, news.ready_timeout, self._is_starting))

    def _is_starting(self, managed: Managed) -> bool:
        return self.managed is managed and self.hub.current.state is State.STARTING

    def _on_not_spawned(self, news: messages.NotSpawned) -> None:
        self._is_launching = False
        if self.hub.current.state is State.STARTING:
            self._fail(news.error)
        else:
            self._stopped()

    def _on_still_waiting(self, news: messages.StillWaiting) -> None:
        if self._is_starting(news.managed):
            self._change(waits_for=news.what)

    def _on_ready(self, news: messages.Ready) -> None:
        if not self._is_starting(news.managed):
            return
        self._ready_at = time.monotonic()
        self._move(State.RUNNING, **conclusions.answered(news.probe))
        self._settle(self._up)

    def _on_not_ready(self, news: messages.NotReady) -> None:
        if self._is_starting(news.managed):
            self._failing = news.error
            self._begin_stop()

    def _begin_stop(self) -> None:
        if self.hub.current.state is State.STOPPING:
            return
        self._move(State.STOPPING)
        if self.managed:
            self._do(self._errands.stop(self.managed))

    def _on_ended(self, news: messages.Ended) -> None:
        if self.managed is not news.managed:
            return
        self.managed = None
        self._change(last_exit=news.exit)
        if self._failing:
            self._fail(self._failing)
        elif self.hub.current.state is State.STOPPING or self.hub.current.wanted is Wish.DOWN:
            self._stopped()
        elif self.hub.current.state is State.STARTING and not self._backoff.crashes:
            self._fail(news.error)
        elif news.exit.reason == STOPPED and isinstance(self.hub.current.failure, StopFailed):
            # It took longer than the stop that asked for it, perhaps of an earlier sidecar.
            if not self._up:
                self._change(wanted=Wish.DOWN)
            self._stopped()
        else:
            self._crashed(news)

    def _stopped(self) -> None:
        self._go(State.STOPPED, None)
        self._settle(self._down)
        if self.hub.current.wanted is Wish.UP and not self.is_closing:
            self._launch()

    def _crashed(self, news: messages.Ended) -> None:
        now = time.monotonic()
        crash = Crashed(str(news.exit), action="The log has the whole story.")
        # A start that is being looked into came before this was known, and goes on to a new process.
        if not self._is_launching:
            self._settle(self._up, crash)
        if not self._restart_on_crash:
            self._go(State.FAILED, crash)
            return
        ran_for = now - self._ready_at if self.hub.current.state is State.RUNNING else 0.0
        delay = self._backoff.crashed(now, ran_for)
        if delay is None:
            self._go(State.FAILED, CrashLoop(f"Given up after {self._backoff.crashes} crashes. {news.exit}"))
            return
        self._go(State.BACKOFF, crash, restarts=self.hub.current.restarts + 1)
        self._do(self._errands.retry_after(delay, self.lookout.epoch))

    def _on_retry(self, news: messages.Retry) -> None:
        if news.epoch == self.lookout.epoch and not self.is_closing:
            self._launch()

    def _fail(self, error: CoreError) -> None:
        self._failing = None
        if self._launched_from:
            self._errands.memory.keep(self._launched_from, error)
        self._go(State.FAILED, error.fresh())
        self._settle(self._up, error)
        self._settle(self._down)

    def _on_unstoppable(self, news: messages.Unstoppable) -> None:
        if self.managed is not news.managed:
            return
        self._failing = None
        self._move(State.RUNNING, failure=news.error)
        # A start that is being looked into finds that out by itself.
        if not self._is_launching:
            self._settle(self._up, news.error)
        self._settle(self._down, news.error)
        self._is_ending_ollama = False

    def _on_seen(self, news: messages.Seen) -> None:
        if news.epoch == self.lookout.epoch:
            self._see(news.look)
        _conclude(news.done)

    def _on_listed(self, news: messages.Listed) -> None:
        if news.epoch == self.lookout.epoch and self.hub.current.state in UP:
            self.lookout.list_models.news_at = time.monotonic()
            models = self.hub.current.models if news.models is None else news.models
            self._change(models=models, models_error=news.error)
        _conclude(news.done)

    def _on_loaded(self, news: messages.Loaded) -> None:
        if news.epoch == self.lookout.epoch and self.hub.current.state in UP and news.names is not None:
            self.lookout.list_loaded.news_at = time.monotonic()
            self._change(loaded=news.names)
        _conclude(news.done)

    def _see(self, look: Look) -> None:
        """Draw the conclusions of a look that belongs to this epoch."""
        self._restart_on_crash = look.setup.settings.sidecar.restart_on_crash
        news = conclusions.conclude(self.hub.current, look)
        if news.state is None:
            self._change(fresh=news.is_fresh, **news.changes)
            return
        self._move(news.state, **news.changes)
        if news.state is State.EXTERNAL and not self._is_launching:
            # Nobody starts ours when it goes, so that would be a wish without end. A start under way has its own.
            self._change(wanted=Wish.DOWN)

    def _go(self, state: State, failure: CoreError | None, **changes: Any) -> None:
        """Move to a state in which no Ollama answers."""
        self._move(state, **conclusions.NOBODY, failure=failure, error=NOT_REACHABLE, **changes)

    def _move(self, state: State, **changes: Any) -> None:
        old = self.hub.current
        check_move(old.state, state)
        if old.state is not state:
            log.info("%s → %s%s", old.state, state, f": {error}" if (error := changes.get("failure")) else "")
            changes |= {"since": time.monotonic(), "waits_for": None}
            self.moved.set()
        self._change(fresh=True, state=state, **changes)
        if old.state is not state or conclusions.is_another(old, self.hub.current):
            self.lookout.begin_epoch()

    def _change(self, *, fresh: bool = False, **changes: Any) -> None:
        if fresh:
            changes["seen_at"] = time.monotonic()
        self.hub.publish(replace(self.hub.current, **changes))

    def _settle(self, waiters: list[asyncio.Future[Status]], error: CoreError | None = None) -> None:
        """Answer all waiters, with the current status or with the error, and empty the list."""
        for done in waiters:
            if done.done():
                continue
            if error:
                done.set_exception(error.fresh())
            else:
                done.set_result(self.hub.current)
        waiters.clear()


def _conclude(done: asyncio.Future[None]) -> None:
    """Tell that the conclusions have been drawn; nobody waits any more for an errand that was given up meanwhile."""
    if not done.done():
        done.set_result(None)
