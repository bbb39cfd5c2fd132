"""The state machine's table, the snapshots, and the delays: no process, no loop but where a subscription needs one."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import product

import pytest

from core.events.snapshots import Broadcast
from core.owners.exit import Exit
from core.supervision import state
from core.supervision.backoff import FIRST_DELAY, LONGEST_DELAY, MOST_CRASHES, STABLE, WINDOW, Backoff
from core.supervision.state import MOVES, RESTING, State, Status, check_move


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
def test_exactly_the_moves_of_the_table_are_legal(old: State, new: State) -> None:
    if new is old or new in MOVES[old]:
        check_move(old, new)
        return
    with pytest.raises(RuntimeError, match=f"{old} → {new}"):
        check_move(old, new)


def test_the_table_that_people_read_has_the_same_moves() -> None:
    told: dict[State, set[State]] = {}
    old: State | None = None
    for line in str(state.__doc__).splitlines():
        if row := re.fullmatch(r"    (\w*) +(\w+)  +\S.*", line):
            old = State(row[1]) if row[1] else old
            assert old is not None
            told.setdefault(old, set()).add(State(row[2]))
    assert told == MOVES


def test_every_state_can_be_reached_and_left_and_nothing_returns_to_unknown() -> None:
    assert set(MOVES) == set(State)
    assert all(MOVES.values())
    reached = set().union(*MOVES.values())
    assert reached == set(State) - {State.UNKNOWN}


@pytest.mark.parametrize("one", State)
def test_managed_is_where_a_process_of_ours_lives_and_running_where_an_ollama_is_up(one: State) -> None:
    status = Status(state=one)
    assert status.is_managed == (one in {State.STARTING, State.RUNNING, State.STOPPING})
    assert status.is_managed == (one not in RESTING)
    assert status.is_running == (one in {State.RUNNING, State.EXTERNAL})


def test_an_exit_says_how_and_in_whose_last_words() -> None:
    assert str(Exit(3, "exited", None, ("a", "b"))) == "Ollama ended with exit code 3: a | b"
    told = ("config", "Error: mkdir /dev/null: not a directory", "1", "2", "3", "4", "5")
    assert str(Exit(1, "exited", None, told)) == f"Ollama ended with exit code 1: {told[1]} | 2 | 3 | 4 | 5"
    assert str(Exit(-2, "exited", None)) == "Ollama was ended by SIGINT"
    assert str(Exit(-99, "exited", None)) == "Ollama was ended by signal 99"
    assert "together with the program that watches over it" in str(Exit(None, "shim killed", None))


def test_delays_double_up_to_the_longest_and_then_comes_the_end() -> None:
    backoff = Backoff()
    delays = [backoff.crashed(now, ran_for=0.5) for now in range(MOST_CRASHES + 1)]
    assert delays == [FIRST_DELAY, 2, 4, 8, 16, None]
    assert max(delay for delay in delays if delay) <= LONGEST_DELAY


def test_a_stable_run_begins_the_delays_anew_but_its_crash_counts() -> None:
    backoff = Backoff()
    backoff.crashed(0, ran_for=0)
    backoff.crashed(1, ran_for=0)
    assert backoff.crashed(100, ran_for=STABLE) == FIRST_DELAY
    assert backoff.crashes == 3


def test_crashes_leave_the_window_and_a_reset_forgets_them() -> None:
    backoff = Backoff()
    for now in range(MOST_CRASHES):
        backoff.crashed(now, ran_for=0)
    assert backoff.crashed(WINDOW + MOST_CRASHES, ran_for=STABLE) == FIRST_DELAY
    assert backoff.crashes == 1
    backoff.reset()
    assert backoff.crashes == 0


async def test_a_subscriber_gets_the_current_value_first_and_a_slow_one_only_the_newest() -> None:
    hub = Broadcast(0)
    hub.publish(1)
    with hub.subscribe() as subscription:
        values = aiter(subscription)
        assert await anext(values) == 1
        for value in (2, 3, 4):
            hub.publish(value)
        assert await anext(values) == 4
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(values)


async def test_a_look_without_news_makes_no_change_but_a_fresher_snapshot() -> None:
    hub = Broadcast(Status(seen_at=1.0))
    with hub.subscribe() as subscription:
        values = aiter(subscription)
        await anext(values)
        hub.publish(replace(hub.current, seen_at=2.0))
        assert hub.current.seen_at == 2.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(values)
