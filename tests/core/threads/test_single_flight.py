"""Work that may hang has one thread, however many ask; they get what was found out after they asked, or a timeout."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from core.threads import single_flight
from core.threads.single_flight import DaemonExecutor, SingleFlight, within
from tests import tied

DEADLINE = tied.seconds(5.0)


class Gate:
    """Work that hangs until it is let go, and tells how many runs there were, and how many at once at most."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.most_at_once = 0
        self._now = 0
        self._numbers = itertools.count(1)

    def work(self) -> int:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        number = next(self._numbers)
        self.entered.release()
        assert self.open.wait(DEADLINE)
        self._now -= 1
        return number


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def threads_named(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


async def test_who_asks_at_once_shares_one_run() -> None:
    runs = itertools.count(1)
    flight = SingleFlight("shared", lambda: next(runs))
    assert await asyncio.gather(*(flight.run(DEADLINE) for _ in range(50))) == [1] * 50
    assert await flight.run(DEADLINE) == 2


async def test_who_asks_while_a_run_is_under_way_gets_the_next_one(gate: Gate) -> None:
    flight = SingleFlight("fresh", gate.work)
    first = asyncio.create_task(flight.run(DEADLINE))
    await asyncio.to_thread(gate.entered.acquire, timeout=DEADLINE)
    later = [asyncio.create_task(flight.run(DEADLINE)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2, 2, 2]
    assert gate.most_at_once == 1


async def test_work_that_hangs_holds_one_daemon_thread_and_nobody_for_longer_than_the_deadline(gate: Gate) -> None:
    flight = SingleFlight("hanging", gate.work)
    asked = asyncio.get_running_loop().time()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await flight.run(0.05)
    # All but the first two know at once that it hangs.
    assert asyncio.get_running_loop().time() - asked < 2.0
    assert threads_named("hanging") == 1
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "hanging")
    assert flight.running_for > 0.05
    gate.open.set()
    while flight.running_for:
        await asyncio.sleep(0.001)
    # The run that nobody waited for any more may have been followed by the one that was asked for meanwhile.
    assert await flight.run(DEADLINE) in (2, 3)
    assert flight.running_for == 0


async def test_what_the_work_raises_is_raised_to_all_and_the_next_run_is_a_new_one() -> None:
    answers: Iterator[OSError | int] = iter([OSError(5, "no"), 7])

    def work() -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    flight = SingleFlight("raising", work)
    for caught in await asyncio.gather(*(flight.run(DEADLINE) for _ in range(3)), return_exceptions=True):
        assert isinstance(caught, OSError)
        assert caught.errno == 5
    assert await flight.run(DEADLINE) == 7


async def test_one_who_is_cancelled_takes_nobody_along(gate: Gate) -> None:
    flight = SingleFlight("cancelled", gate.work)
    one, other = (asyncio.create_task(flight.run(DEADLINE)) for _ in range(2))
    await asyncio.to_thread(gate.entered.acquire, timeout=DEADLINE)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    gate.open.set()
    assert await other == 1


async def test_within_gives_up_on_work_that_hangs(gate: Gate) -> None:
    with pytest.raises(TimeoutError):
        await within(0.05, "given up", gate.work)
    gate.open.set()
    assert await within(DEADLINE, "done", gate.work) == 2


def test_the_loop_s_end_waits_for_no_work_that_hangs(gate: Gate) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await within(0.05, "left behind", gate.work)

    asyncio.run(give_up())
    assert threads_named("left behind") == 1


def test_the_end_of_run_waits_a_second_at_most_for_a_thread_that_hangs(gate: Gate) -> None:
    async def leave_behind() -> str:
        hanging = asyncio.create_task(asyncio.to_thread(gate.work))
        await asyncio.to_thread(gate.entered.acquire, timeout=DEADLINE)
        hanging.cancel()
        return "done"

    began = time.monotonic()
    assert single_flight.run(leave_behind()) == "done"
    assert time.monotonic() - began < tied.seconds(2.0)


def test_the_executor_runs_as_many_at_once_as_it_may_and_the_others_after_them(gate: Gate) -> None:
    executor = DaemonExecutor(most_threads=3)
    futures = [executor.submit(gate.work) for _ in range(7)]
    for _ in range(3):
        assert gate.entered.acquire(timeout=DEADLINE)
    assert not gate.entered.acquire(blocking=False)
    assert futures[-1].cancel()
    gate.open.set()
    assert sorted(future.result(DEADLINE) for future in futures[:-1]) == [1, 2, 3, 4, 5, 6]
    assert executor.submit(str, 5).result(DEADLINE) == "5"
    with pytest.raises(ValueError, match="invalid literal"):
        executor.submit(int, "x").result(DEADLINE)
    executor.shutdown()


def test_a_free_thread_is_used_again() -> None:
    executor = DaemonExecutor()
    assert len({executor.submit(threading.get_ident).result(DEADLINE) for _ in range(20)}) == 1
    executor.shutdown()
