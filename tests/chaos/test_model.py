"""The supervisor's model in any order of wishes and events, against a made-up outside: what DESIGN.md says holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from core.errors import CoreError
from core.supervision import messages
from core.supervision.attempt import Attempted, Started
from core.supervision.machine import Machine
from core.supervision.shared_task import log_failure
from core.supervision.state import RESTING, State, Status, Wish
from tests.chaos.conftest import Chance
from tests.chaos.outside import Ours, Outside, OutsideTasks, Question

MOST_ANSWERS = 200
"""Whoever is answered so often and still asks will never come to rest."""


class Model(RuleBasedStateMachine):
    """Wishes from one side, events from the other; `_settle` lets the machine handle what has come of each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.posted: deque[messages.Message] = deque()
        self.outside = Outside()
        self.tasks = OutsideTasks(self.outside, self.posted.append)
        self.machine = Machine(self.tasks, self._create_task)
        self.running: set[asyncio.Task[None]] = set()
        self.wishes: list[tuple[Wish, asyncio.Future[Status]]] = []
        self.ready: set[Ours] = set()
        self.since = 0.0
        self.have_they_ever_come = False

    def _create_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(log_failure(coroutine))
        self.running.add(task)
        return task

    def _settle(self) -> None:
        self.loop.run_until_complete(self._handle_all())

    async def _handle_all(self) -> None:
        for _ in range(12):
            while self.posted:
                message = self.posted.popleft()
                if isinstance(message, Attempted) and isinstance(message.result, Started):
                    assert isinstance(message.result.managed, Ours)
                    self.ready.add(message.result.managed)
                self.machine.handle(message)
            await asyncio.sleep(0)
        for task in [task for task in self.running if task.done()]:
            self.running.remove(task)
            if not task.cancelled():
                task.result()

    @property
    def status(self) -> Status:
        return self.machine.hub.current

    @initialize(theirs=st.booleans(), adopted=st.booleans())
    def begin(self, *, theirs: bool, adopted: bool) -> None:
        """A sidecar that finds nothing, somebody else's Ollama, or one that an earlier sidecar left."""
        self.outside.theirs = self.have_they_ever_come = theirs and not adopted
        managed = None
        if adopted:
            managed = Ours(99, self.outside)
            managed.has_port = True
            self.outside.ours.append(managed)
            self.ready.add(managed)

        async def first() -> None:
            self.machine.begin(managed, self.outside.observe(None))

        self.loop.run_until_complete(first())
        self._settle()

    @rule(by_user=st.booleans())
    def start(self, *, by_user: bool) -> None:
        done = self.loop.create_future()
        self.wishes.append((Wish.UP, done))
        self.posted.append(messages.Start(done, by_user))
        self._settle()

    @rule()
    def restart(self) -> None:
        done = self.loop.create_future()
        self.wishes.append((Wish.UP, done))
        self.posted.append(messages.Start(done, by_user=True, is_restart=True))
        self._settle()

    @rule()
    def stop(self) -> None:
        done = self.loop.create_future()
        self.wishes.append((Wish.DOWN, done))
        self.posted.append(messages.Stop(done))
        self._settle()

    @rule()
    def observe(self) -> None:
        async def begin() -> None:
            self.machine.refresher.observe()

        self.loop.run_until_complete(begin())
        self._settle()

    @precondition(lambda self: self.outside.questions)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        questions = [question for question in self.outside.questions if self._may_answer(question)]
        if questions:
            question = data.draw(st.sampled_from(questions), label=str([one.what for one in questions]))
            self._answer(question, is_good=data.draw(st.booleans()), is_late=data.draw(st.booleans()))

    @precondition(lambda self: self.outside.living)
    @rule()
    def ours_crashes(self) -> None:
        for ours in self.outside.living:
            ours.is_alive = False

    @precondition(lambda self: self.outside.is_port_free)
    @rule(is_ollama=st.booleans())
    def they_come(self, *, is_ollama: bool) -> None:
        self.outside.theirs, self.outside.stranger = is_ollama, not is_ollama
        self.have_they_ever_come |= is_ollama

    @rule()
    def they_go(self) -> None:
        self.outside.theirs = self.outside.stranger = False

    @rule(hangs=st.booleans(), starved=st.booleans(), installed=st.booleans(), restart_on_crash=st.booleans())
    def circumstances_change(self, **now: bool) -> None:
        for name, value in now.items():
            setattr(self.outside, name, value)

    def is_in(self, state: State) -> bool:
        """Whether that is the state now."""
        return self.status.state is state

    def answer_one(self, question: Question, *, is_late: bool = False) -> None:
        """Let what was asked for come about."""
        self._answer(question, is_good=True, is_late=is_late)

    def answer_all(self, what: str, *, but: Question | None = None) -> None:
        """Let all of one kind come about, but for one question."""
        for question in [one for one in self.outside.questions if one.what == what and one is not but]:
            self.answer_one(question)

    def _may_answer(self, question: Question) -> bool:
        match question.what:
            case "end":
                return isinstance(question.managed, Ours) and not question.managed.is_alive
            case "their end":
                return not (self.outside.theirs or self.outside.stranger)
        return True

    def _answer(self, question: Question, *, is_good: bool, is_late: bool) -> None:
        """Let what was asked for come about, or not. A late look tells of what was true when it began."""
        answer: object = is_good
        ours = question.managed
        match question.what:
            case "look":
                answer = question.observation if is_late else None if is_good else ValueError("a look that broke")
            case "ready" if isinstance(ours, Ours):
                is_possible = is_good and ours.is_alive and (ours.has_port or self.outside.is_port_free)
                ours.has_port = ours.has_port or is_possible
                answer = None if not ours.is_alive else is_possible and not self.outside.hangs
            case "stop" if isinstance(ours, Ours):
                ours.is_alive = ours.is_alive and not is_good
                answer = not ours.is_alive
            case "spawn":
                answer = is_good
        question.answer.set_result(answer)
        self._settle()

    @invariant()
    def there_is_one_ollama_of_ours_at_most(self) -> None:
        spawning = [question for question in self.outside.questions if question.what == "spawn"]
        assert len(self.outside.living) + len(spawning) <= 1

    @invariant()
    def nothing_is_spawned_for_nobody(self) -> None:
        if any(question.what == "spawn" for question in self.outside.questions):
            assert self.status.state in (State.STARTING, State.STOPPING)
            assert self.status.wanted is Wish.UP or self.status.state is State.STOPPING

    @invariant()
    def a_process_of_ours_is_held_exactly_where_the_state_says_so(self) -> None:
        if self.status.state in RESTING:
            assert self.machine.managed is None
            assert not self.outside.living
        if self.status.state is State.RUNNING:
            assert self.machine.managed is not None

    @invariant()
    def running_means_that_it_has_answered(self) -> None:
        managed = self.machine.managed
        if self.status.state is State.RUNNING and self.status.failure is None:
            assert managed in self.ready

    @invariant()
    def the_pid_is_ours_or_theirs(self) -> None:
        pid = self.status.pid
        if self.status.state is State.EXTERNAL:
            assert pid not in {ours.record.pid for ours in self.outside.living}
        elif self.machine.managed and pid is not None:
            assert pid == self.machine.managed.pid
        elif self.status.state in RESTING:
            assert pid is None

    @invariant()
    def ours_is_never_taken_for_theirs(self) -> None:
        """A look from before the end of ours tells of an Ollama that answered."""
        assert self.status.state is not State.EXTERNAL or self.have_they_ever_come

    @invariant()
    def only_ours_is_asked_to_stop(self) -> None:
        for question in self.outside.questions:
            if question.what == "stop":
                assert question.managed in self.outside.ours

    @invariant()
    def a_start_under_way_is_told_as_starting_unless_an_ollama_is_up(self) -> None:
        waits_for_start = any(wish is Wish.UP for wish, done in self.wishes if not done.done())
        if waits_for_start:
            assert self.status.state in (State.STARTING, State.STOPPING, State.RUNNING, State.EXTERNAL)

    @invariant()
    def time_goes_on(self) -> None:
        assert self.status.since >= self.since
        self.since = self.status.since

    @invariant()
    def what_was_answered_was_true(self) -> None:
        """A start that succeeded found an Ollama of ours ready; a stop left nothing of ours."""
        for wish, done in [one for one in self.wishes if one[1].done()]:
            self.wishes.remove((wish, done))
            error = done.exception()
            assert error is None or isinstance(error, CoreError)
            if error is None and wish is Wish.UP:
                status = done.result()
                assert status.state is State.RUNNING
                assert status.pid in {ours.record.pid for ours in self.outside.living}
            if error is None and wish is Wish.DOWN:
                assert done.result().state in RESTING

    def _rest(self) -> None:
        """Answer everything in the best way until nothing is under way any more."""
        self.outside.hangs = self.outside.starved = False
        self.outside.installed = True
        for _ in range(MOST_ANSWERS):
            questions = [question for question in self.outside.questions if self._may_answer(question)]
            if not questions:
                return
            self._answer(questions[0], is_good=True, is_late=False)
        raise AssertionError(f"it never rests: {self.status}")

    def teardown(self) -> None:
        """Every wish is concluded in the end, and closing leaves nobody waiting and nothing running that should not."""
        try:
            if self.status.state is not State.UNKNOWN:
                self._concludes()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(self.tasks.close())
            self.loop.close()

    def _concludes(self) -> None:
        self.they_go()
        self._rest()
        self.observe()
        self._rest()
        assert all(done.done() for _, done in self.wishes), self.status
        self.what_was_answered_was_true()
        living = self.outside.living
        if self.status.wanted is Wish.DOWN:
            # Unless it outlived every attempt to end it.
            assert not living or self.status.failure
        else:
            assert living or self.status.failure, f"wanted, and neither there nor said why not: {self.status}"
        assert (self.status.state is State.RUNNING) is bool(living)
        self.posted.append(messages.Close(stop_ollama=True))
        self._settle()
        self._rest()
        assert self.machine.may_end
        assert not self.outside.living
        self.machine.end()


@pytest.mark.timeout(0)  # as many examples as were asked for
def test_the_model_holds_what_the_design_promises(chance: Chance) -> None:
    how = settings(
        max_examples=2 * chance.rounds,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(chance.seed)(Model), settings=how)


def test_what_a_start_saw_before_the_state_changed_decides_nothing() -> None:
    """Somebody else's Ollama was there when the start looked, and has gone since."""
    model = Model()
    model.begin(theirs=True, adopted=False)
    model.start(by_user=True)
    (seen_by_start,) = [question for question in model.outside.questions if question.what == "look"]
    assert model.is_in(State.EXTERNAL), "a start beside an Ollama that is up is a look"
    model.they_go()
    model.observe()
    model.answer_all("look", but=seen_by_start)
    assert model.is_in(State.STARTING), "nobody is there any more, and a start is under way"

    assert seen_by_start not in model.outside.questions, "nobody waits any more for what it saw"
    model.answer_all("look")
    assert [question.what for question in model.outside.questions] == ["spawn"]
    model.teardown()


def test_what_others_see_during_a_start_decides_nothing() -> None:
    model = Model()
    model.begin(theirs=False, adopted=False)
    model.they_come(is_ollama=True)
    model.start(by_user=True)
    (seen_by_start,) = model.outside.questions
    model.observe()
    model.answer_all("look", but=seen_by_start)
    assert model.is_in(State.STARTING)
    model.they_go()
    model.answer_one(seen_by_start)
    assert [question.what for question in model.outside.questions] == ["spawn"]
    model.teardown()


def test_a_start_beside_an_ollama_that_is_up_leaves_the_state_until_nobody_is_there() -> None:
    """Whoever watches the icon sees no Ollama go that is there."""
    model = Model()
    model.begin(theirs=True, adopted=False)
    seen: list[State] = []
    model.machine.hub.tell(lambda status: seen.append(status.state))
    model.start(by_user=True)
    model.answer_all("look")
    assert set(seen) == {State.EXTERNAL}
    model.they_go()
    model.start(by_user=True)
    model.answer_all("look")
    assert list(dict.fromkeys(seen)) == [State.EXTERNAL, State.STOPPED, State.STARTING]
    model.teardown()


def test_a_stop_before_there_is_a_process_ends_the_start_at_once() -> None:
    model = Model()
    model.begin(theirs=False, adopted=False)
    model.start(by_user=True)
    assert model.is_in(State.STARTING), "from its first moment"
    model.stop()
    assert model.is_in(State.STOPPED)
    assert not model.outside.questions
    model.teardown()


def test_a_stop_while_a_process_is_being_made_waits_for_it_and_ends_it() -> None:
    model = Model()
    model.begin(theirs=False, adopted=False)
    model.start(by_user=True)
    model.answer_all("look")
    model.stop()
    assert model.is_in(State.STOPPING)
    model.answer_all("spawn")
    assert model.is_in(State.STOPPING), "it lives"
    model.answer_all("stop")
    model.answer_all("end")
    assert model.is_in(State.STOPPED)
    model.teardown()
