"""Handles the supervisor's messages: changes the state, answers the callers that wait, and begins tasks.

The only writer of `Status`; `state` documents the legal moves. The supervisor owns the one `Machine` and feeds it
messages one by one; no handler waits. Everything runs on the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import assert_never

from core.errors import OUTCOME_UNKNOWN, CoreError, Crashed, CrashLoop, StopFailed, Superseded
from core.owners.exit import Sequel
from core.owners.protocol import Running
from core.shim.record import STOPPED
from core.supervision import attempt, interpret, messages, preflight
from core.supervision.attempt import Attempt
from core.supervision.backoff import Backoff
from core.supervision.in_force import OwnerInForce
from core.supervision.observer import Observation
from core.supervision.published import Published, Waiters, shutting_down
from core.supervision.refresher import OWNER_SECONDS, Refresher
from core.supervision.shared_task import CreateTask, unexpected
from core.supervision.state import RESTING, TRANSIENT, UP, State, Wish
from core.supervision.tasks import Tasks


class Machine:
    """The state of one supervised Ollama. `create_task` runs a coroutine in the background."""

    def __init__(self, tasks: Tasks, create_task: CreateTask) -> None:
        self.managed: Running | None = None
        self.is_closing = False
        self._now = Published(lambda: self.refresher.begin_epoch())
        self.hub, self.moved = self._now.hub, self._now.moved
        self.refresher = Refresher(tasks, create_task, self._now, lambda: self.managed.url if self.managed else None)
        self._tasks = tasks
        self._create_task = create_task
        self._attempt: Attempt | None = None
        """The start that is under way: always in `starting`, and in `running` and `external` while it observes."""
        self._wish: messages.Start | messages.Stop | None = None
        """The last one that was made."""
        self._up: Waiters = []
        self._down: Waiters = []
        self._backoff = Backoff()
        self._ready_at = 0.0
        self._restart_on_crash = False
        self._is_ending_ollama = False
        self._in_force = OwnerInForce(tasks, create_task, self._now)
        self._watching: asyncio.Task[None] | None = None
        self._is_restarted_by_owner = False
        """In `backoff`: its owner starts it again, and no task of ours does."""
        self._next: messages.Adopted | None = None
        """The next run of a service, found before the end of this one was known or while a start makes one."""

    def begin(self, managed: Running | None, observation: Observation) -> None:
        """Take over what an earlier sidecar left, if anything, and apply the first observation."""
        if managed:
            self._take_over(managed)
        self._apply(observation, self.refresher.epoch)
        self.refresher.observe.updated_at = time.monotonic()
        if observation.setup.settings.sidecar.start_on_launch and not self._now.status.is_running:
            self._now.change(wanted=Wish.UP)
            self._start()

    def _take_over(self, managed: Running) -> None:
        self.managed = managed
        self._ready_at = time.monotonic()
        self._is_restarted_by_owner = False
        ours = {"pid": managed.pid, "url": managed.url, "adopted": True, "owner": None, "by_hand": None}
        none = {"offer": None, "failure": None, "controlled_by": managed.owner}
        self._now.move(State.RUNNING, wanted=Wish.UP, **ours, **none)
        self._watching = self._create_task(self._tasks.watch(managed))

    def _use_owner(self, owner: str) -> None:
        """Have that owner in force from now on. What a service manager runs for another one is let go at once.

        A process of ours stays ours until it has ended, and so does an Ollama that is being started or stopped.
        """
        status = self._now.status
        if self._in_force.use(owner):
            self._attend()
            if self._is_restarted_by_owner and status.state is State.BACKOFF:
                # What the former owner does next is no longer our business.
                self._is_restarted_by_owner = False
                self._now.move(State.STOPPED, wanted=Wish.DOWN, failure=None)
        managed = self.managed
        if managed and managed.is_lasting and managed.owner != owner and status.state is State.RUNNING:
            self._drop_attempt()
            self._now.answer(self._up, Superseded("The settings name another owner, so Ollama was let go."))
            if self._watching:
                self._watching.cancel()
            managed.let_go()
            self.managed = None
            self._now.move(State.EXTERNAL, wanted=Wish.DOWN, adopted=False, failure=None)
        self._now.change(controlled_by=self.managed.owner if self.managed else owner)

    def _attend(self) -> None:
        """Have the owner in force attend to its Ollama, from the beginning: it tells again of one that runs."""
        self._next = None
        if not self.is_closing:
            self._in_force.attend()

    @property
    def may_end(self) -> bool:
        """Whether everything that was wished before closing is done."""
        return (
            self.is_closing and not self._is_starting_process and (self.managed is None or not self._is_ending_ollama)
        )

    def end(self) -> None:
        """Refuse all callers that still wait, and let go of an Ollama that stays running."""
        self._now.answer(self._up + self._down, shutting_down())
        if self.managed:
            self.managed.let_go()

    def handle(self, message: messages.Message) -> None:  # noqa: C901 - one line a message, and none can be forgotten
        """Handle one message. Raises RuntimeError for an illegal move, which is a bug."""
        match message:
            case messages.Start():
                self._on_start(message)
            case messages.Stop():
                self._on_stop(message)
            case messages.Close():
                self._on_close(message)
            case messages.Adopted():
                self._on_adopted(message)
            case attempt.Progress():
                self._on_progress(message)
            case attempt.Attempted():
                self._on_attempted(message)
            case messages.Ended():
                self._on_ended(message)
            case messages.Died():
                if self.managed is message.managed and self._now.status.pid == message.managed.pid:
                    self._now.change(pid=None)
            case messages.Unstoppable():
                self._on_unstoppable(message)
            case messages.Troubled() | messages.Told() | messages.Looked():
                if self._in_force.heard(message) and isinstance(self._now.status.failure, StopFailed):
                    # It was not stopped because its owner could not be asked.
                    self._now.change(failure=None)
            case messages.GaveUp():
                if self._is_restarted_by_owner and self._now.status.state is State.BACKOFF:
                    self._is_restarted_by_owner = False
                    if message.why is None:
                        self._now.move(State.STOPPED, wanted=Wish.DOWN, failure=None)
                    else:
                        self._now.move(State.FAILED, failure=CrashLoop(message.why))
            case messages.CalledOff():
                self._on_called_off(message)
            case messages.Found():
                self._on_found(message)
            case messages.Judged():
                if self._now.status.state in UP and self._now.status.pid == message.pid:
                    self._now.change(stuck=message.stuck)
            case messages.Retry():
                if message.epoch == self.refresher.epoch:
                    self._start()
            case _:
                assert_never(message)

    def _on_start(self, wish: messages.Start) -> None:
        self._wish = wish
        self._up.append(wish.done)
        self._now.change(wanted=Wish.UP)
        if wish.by_user:
            self._tasks.memory.forget()
            self._backoff.reset()
        if wish.is_restart and self._now.status.is_managed:
            self._begin_stop()
        elif self._now.status.state not in TRANSIENT:
            self._start()

    def _on_stop(self, wish: messages.Stop) -> None:
        self._wish = wish
        self._now.change(wanted=Wish.DOWN)
        self._tasks.memory.forget()
        self._now.answer(self._up, Superseded("The start was interrupted by a stop."))
        status = self._now.status
        if status.is_managed:
            self._down.append(wish.done)
            self._begin_stop()
            return
        is_unknown = status.state is State.FAILED and isinstance(status.failure, OUTCOME_UNKNOWN)
        if is_unknown or (status.state is State.BACKOFF and self._is_restarted_by_owner):
            self._create_task(self._call_off(wish))
            return
        is_something_called_off = self._attempt is not None or status.state is State.BACKOFF
        self._drop_attempt()
        if status.state in (State.BACKOFF, State.FAILED):
            self._now.move(State.STOPPED, failure=None)
        if is_something_called_off:
            self._now.answer([wish.done])
        else:
            self._create_task(self._refuse_stop(wish))

    async def _call_off(self, wish: messages.Stop) -> None:
        error: CoreError | None = None
        try:
            await self._tasks.call_off(self._now.status.controlled_by)
        except Exception as fault:
            error = fault if isinstance(fault, CoreError) else unexpected(fault, StopFailed)
        self._tasks.post(messages.CalledOff(wish, error))

    def _on_called_off(self, news: messages.CalledOff) -> None:
        if self.managed is not None and news.error is None:
            # Its owner had been quicker.
            self._on_stop(news.wish)
            return
        if news.error is None and self._now.status.state in (State.BACKOFF, State.FAILED):
            self._is_restarted_by_owner = False
            self._now.move(State.STOPPED, failure=None)
        self._now.answer([news.wish.done], news.error)

    async def _refuse_stop(self, wish: messages.Stop) -> None:
        if self._now.status.state is State.EXTERNAL:
            await self._tasks.adopt_late()
            if self.managed:
                self._on_stop(wish)
                return
        # The settings may name an owner that was not in force so far, and has this one to stop.
        await self.refresher.follow(OWNER_SECONDS)
        if self.managed and isinstance(self._wish, messages.Stop):
            self._on_stop(wish)
            return
        self._now.answer([wish.done], preflight.nothing_to_stop(self._now.status))

    def _on_adopted(self, news: messages.Adopted) -> None:
        managed = self.managed
        if self._is_starting_process:
            # The start tells of its own itself. If it fails because of this one, this one is taken over.
            self._next = news
        elif managed and managed.is_lasting and managed.owner == news.managed.owner and managed.pid != news.managed.pid:
            # Its owner has been quicker than the news of the end. It is taken over once that is known.
            if self._next:
                self._next.resolve()
            self._next = news
            return
        elif managed is None and self._now.status.state not in (State.UNKNOWN, State.STOPPING) and not self.is_closing:
            is_starting = bool(self._attempt or self._up)
            self._drop_attempt()
            self._take_over(news.managed)
            if is_starting:
                # The attempt was for an Ollama that was thought to be somebody else's, or for none.
                self._start()
            else:
                self._create_task(self.refresher.observe_until_answer(lambda: self.managed is news.managed))
        news.resolve()

    def _on_close(self, wish: messages.Close) -> None:
        self.is_closing = True
        # A service that was up before us, or for others too, is its owner's to end.
        is_left = self.managed is not None and self.managed.is_lasting
        self._is_ending_ollama = wish.stop_ollama and not is_left
        self._now.answer(self._up, shutting_down())
        if self._is_ending_ollama:
            self._now.change(wanted=Wish.DOWN)
            if self._now.status.is_managed:
                self._begin_stop()

    def _start(self) -> None:
        """Begin a start, unless one is under way. While an Ollama is up it only observes, and the state stays."""
        if self._attempt or self.is_closing:
            return
        before = self._now.status
        if before.state not in UP:
            self._now.move(State.STARTING, failure=None)
        self._attempt = Attempt(self._tasks, before, self.managed, self.refresher.epoch)
        self._attempt.begin(self._create_task)

    @property
    def _is_starting_process(self) -> bool:
        """Whether a process of ours is about to exist. It is waited for, so that it can be ended."""
        return self._attempt is not None and self._attempt.has_process and self.managed is None

    def _drop_attempt(self) -> None:
        if self._attempt:
            self._attempt.cancel()
            self._attempt = None

    def _on_progress(self, news: attempt.Progress) -> None:
        if news.attempt is not self._attempt:
            return
        if self.managed is not None:
            self._now.change(waits_for=news.waits_for)
            return
        self.managed, self._next = news.managed, None
        self._is_restarted_by_owner = False
        self._watching = self._create_task(self._tasks.watch(news.managed))
        if self._now.status.state is State.STOPPING:
            self._drop_attempt()
            self._create_task(self._tasks.stop(news.managed))
            return
        self._restart_on_crash = news.observation.setup.settings.sidecar.restart_on_crash
        self._now.change(**interpret.process_started(news.managed, news.observation))
        self._use_owner(news.observation.setup.owner)

    def _on_attempted(self, news: attempt.Attempted) -> None:
        if news.attempt is not self._attempt:
            return
        if not isinstance(news.result, attempt.Failed):
            self._attempt = None
        is_stopping = self._now.status.state is State.STOPPING
        match news.result:
            case attempt.Started(_, probe):
                self._ready_at = time.monotonic()
                self._now.move(State.RUNNING, **interpret.answered(probe))
                self._now.answer(self._up)
            case attempt.AlreadyUp(probe):
                self._now.change(fresh=True, **interpret.answered(probe))
                self._now.answer(self._up)
            case attempt.Gone(observation):
                if observation:
                    self._apply(observation, news.attempt.epoch)
                    self._start()
            case attempt.Refused(error, observation):
                self._refuse(news.attempt, error, observation)
            case attempt.Failed(error) if is_stopping and not isinstance(error, OUTCOME_UNKNOWN):
                self._stopped()
            case attempt.Failed(error):
                self._fail(error)
            case _:
                assert_never(news.result)

    def _refuse(self, start: Attempt, error: CoreError, observation: Observation | None) -> None:
        """Answer a start that made no process. The state is the one before it, or what its observation says."""
        if start.epoch != self.refresher.epoch:
            # Somebody else's Ollama has come or gone since its observation.
            self._start()
            return
        if self._now.status.state is State.STARTING:
            self._now.move(**interpret.after_refusal(start.before, error, observation))
        elif observation:
            self._apply(observation, start.epoch)
        if self._now.status.state in RESTING - {State.FAILED}:
            self._now.change(wanted=Wish.DOWN)
        self._now.answer(self._up, preflight.with_owner(error, self._now.status))

    def _begin_stop(self) -> None:
        """End a start under way, its process, or both. `STOPPED` follows, or `failure` is set."""
        if self.managed is None and not self._is_starting_process:
            self._stopped()
        elif self._now.status.state is State.STOPPING:
            # An Ollama that did not answer in time is being ended already, and now the user wants that.
            self._now.change(failure=None)
        else:
            self._now.move(State.STOPPING, failure=None)
            if self.managed:
                self._drop_attempt()
                self._create_task(self._tasks.stop(self.managed))
            elif self._attempt:
                self._attempt.interrupt()

    def _on_ended(self, news: messages.Ended) -> None:
        if self.managed is not news.managed:
            return
        self.managed = None
        following, self._next = self._next, None
        self._now.change(last_exit=news.exit)
        if self._in_force.text not in (None, news.managed.owner):
            # The owner that the settings name by now may have one running.
            self._now.change(controlled_by=self._in_force.text)
            self._attend()
        status = self._now.status
        # A start that came before this end was known goes on to a new process.
        is_wanted_anew = status.state is State.RUNNING and bool(self._attempt or self._up)
        was_stopped = news.exit.sequel is Sequel.STOPPED
        if status.state is State.STOPPING and status.failure:
            self._fail(status.failure)
        elif status.state is State.STOPPING or status.wanted is Wish.DOWN or (was_stopped and is_wanted_anew):
            self._stopped()
        elif was_stopped:
            self._now.answer(self._up, Superseded("The start was interrupted: somebody else stopped Ollama."))
            self._now.change(wanted=Wish.DOWN)
            self._stopped()
        elif news.exit.sequel is not Sequel.RESTARTED and status.state is State.STARTING and not self._backoff.crashes:
            self._fail(news.error)
        elif news.exit.reason == STOPPED and isinstance(status.failure, StopFailed):
            # The end of a stop that had failed because it took too long, perhaps a stop of an earlier sidecar.
            if not self._up:
                self._now.change(wanted=Wish.DOWN)
            self._stopped()
        else:
            self._crashed(news, is_wanted_anew=is_wanted_anew)
        if following:
            self._on_adopted(following)

    def _stopped(self) -> None:
        self._drop_attempt()
        self._next = None
        self._now.move_down(State.STOPPED, None)
        self._now.answer(self._down)
        if self._now.status.wanted is Wish.UP:
            self._start()

    def _crashed(self, news: messages.Ended, *, is_wanted_anew: bool) -> None:
        crash = Crashed(str(news.exit), action="The log has the whole story.")
        was_running = self._now.status.state is State.RUNNING
        self._drop_attempt()
        if not is_wanted_anew:
            self._now.answer(self._up, crash)
        now = time.monotonic()
        if news.exit.sequel is Sequel.RESTARTED:
            self._is_restarted_by_owner = True
            self._now.move_down(State.BACKOFF, crash, restarts=self._now.status.restarts + 1)
        elif news.exit.sequel is Sequel.LEFT or not self._restart_on_crash:
            self._now.move_down(State.FAILED, crash)
        elif (delay := self._backoff.crashed(now, now - self._ready_at if was_running else 0.0)) is None:
            self._now.move_down(State.FAILED, CrashLoop(f"Given up after {self._backoff.crashes} crashes. {news.exit}"))
        else:
            self._now.move_down(State.BACKOFF, crash, restarts=self._now.status.restarts + 1)
            self._create_task(self._tasks.retry_after(delay, self.refresher.epoch))
        if is_wanted_anew:
            self._start()

    def _fail(self, error: CoreError) -> None:
        """End the process of a start that failed, if there is one, and answer once its tree is gone."""
        if self.managed:
            self._now.move(State.STOPPING, failure=error)
            self._create_task(self._tasks.stop(self.managed))
            return
        following, self._next = self._next, None
        if following and self._now.status.state is State.STARTING:
            self._drop_attempt()
            self._on_adopted(following)
            return
        unstopped = StopFailed(error.message, action=error.action) if isinstance(error, OUTCOME_UNKNOWN) else None
        if self._attempt and self._attempt.observation and self._attempt.would_fail_again:
            self._tasks.memory.keep(self._attempt.observation, error)
        self._drop_attempt()
        self._now.move_down(State.FAILED, error.fresh())
        self._now.answer(self._up, error)
        self._now.answer(self._down, unstopped)

    def _on_unstoppable(self, news: messages.Unstoppable) -> None:
        if self.managed is not news.managed:
            return
        if self._now.status.state is not State.RUNNING:
            self._drop_attempt()
        self._now.move(State.RUNNING, failure=news.error)
        if self._attempt is None:
            # An attempt that checks this Ollama finds out by itself, and its result answers the start.
            self._now.answer(self._up, news.error)
        self._now.answer(self._down, news.error)
        self._is_ending_ollama = False

    def _on_found(self, news: messages.Found) -> None:
        if news.epoch == self.refresher.epoch:
            if isinstance(news.answer, Observation):
                self._apply(news.answer, news.epoch)
                if self._attempt and self._now.status.state in RESTING - UP:
                    # Somebody else's Ollama has gone while a start observed it.
                    self._drop_attempt()
                    self._start()
            else:
                self.refresher.on_listed(news.answer)
        news.resolve()

    def _apply(self, observation: Observation, epoch: int) -> None:
        """Apply an observation that began in `epoch`. One from an earlier epoch says nothing and is dropped."""
        if epoch != self.refresher.epoch:
            return
        self._restart_on_crash = observation.setup.settings.sidecar.restart_on_crash
        sidecar = observation.setup.settings.sidecar
        terms = self._in_force.terms
        terms.grace, terms.caps, terms.url = sidecar.stop_timeout, sidecar.log_caps, observation.setup.url
        self._use_owner(observation.setup.owner)
        if epoch != self.refresher.epoch:
            # Ollama was let go, so this says nothing about the one that is somebody else's from now on.
            self.refresher.observe_again()
            return
        status = self._now.status
        is_owner_s_turn = self._is_restarted_by_owner and status.state is State.BACKOFF and not status.owner_problem
        if is_owner_s_turn and interpret.interpret(status, observation).state is State.EXTERNAL:
            # What answers is very likely the one that its owner has started again, and the owner tells that itself.
            return
        self._now.apply(observation)
        if self._now.status.state is State.EXTERNAL and not self._attempt:
            # We do not start ours when it goes, so a wish for up would never be fulfilled. A start keeps its own wish.
            self._now.change(wanted=Wish.DOWN)
