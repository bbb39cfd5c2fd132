"""Ends of processes are told, each once, by one thread for all of them."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from core.owners.tree_end import wait_end
from core.platform import birth
from core.platform.exit_watcher import ExitWatcher
from tests import tied

if sys.platform == "win32":
    from core.platform.windows import EndPoll
elif sys.platform == "darwin":
    from core.platform.darwin import EndPoll
else:
    from core.platform.linux import EndPoll

DEADLINE = tied.seconds(8.0)
WAITS = [sys.executable, "-I", "-S", "-c", "input()"]


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Five processes that wait for their input's end."""
    started = [subprocess.Popen(WAITS, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(5)]
    yield started
    for child in started:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Have it end, and reap it."""
    assert child.stdin is not None
    child.stdin.close()
    child.wait(DEADLINE)


def born(child: subprocess.Popen[bytes]) -> str:
    """Its birth."""
    found = birth(child.pid)
    assert found is not None
    return found


def watchers() -> list[str]:
    """The threads that wait."""
    return [thread.name for thread in threading.enumerate() if thread.name == "process-ends"]


def wait_for_no_watcher() -> None:
    """A thread that has nothing to watch ends by itself."""
    for thread in threading.enumerate():
        if thread.name == "process-ends":
            thread.join(DEADLINE)
    assert watchers() == []


def test_each_end_is_told_once_and_one_thread_waits_for_all(children: list[subprocess.Popen[bytes]]) -> None:
    told: queue.Queue[int] = queue.Queue()
    ends = ExitWatcher(EndPoll)
    for child in children:
        ends.watch(child.pid, born(child), partial(told.put, child.pid))
    assert len(watchers()) == 1
    for child in reversed(children):
        assert told.empty()
        end(child)
        assert told.get(timeout=DEADLINE) == child.pid
    wait_for_no_watcher()
    assert told.empty()


def test_several_who_watch_one_process_are_all_told(children: list[subprocess.Popen[bytes]]) -> None:
    told: queue.Queue[str] = queue.Queue()
    ends = ExitWatcher(EndPoll)
    process = children[0].pid, born(children[0])
    ends.watch(*process, partial(told.put, "first"))
    ends.watch(*process, partial(told.put, "second"))
    end(children[0])
    assert {told.get(timeout=DEADLINE), told.get(timeout=DEADLINE)} == {"first", "second"}


def test_more_than_one_poll_can_hold_are_watched_by_more_threads(children: list[subprocess.Popen[bytes]]) -> None:
    told: queue.Queue[int] = queue.Queue()
    ends = ExitWatcher(EndPoll, capacity=2)
    for child in children:
        ends.watch(child.pid, born(child), partial(told.put, child.pid))
    assert len(watchers()) == 3
    for child in children:
        end(child)
    assert {told.get(timeout=DEADLINE) for _ in children} == {child.pid for child in children}
    wait_for_no_watcher()


def test_a_process_that_is_not_there_is_told_as_ended(children: list[subprocess.Popen[bytes]]) -> None:
    told: queue.Queue[str] = queue.Queue()
    before = born(children[0])
    ExitWatcher(EndPoll).watch(children[0].pid, "1", partial(told.put, "another birth"))
    assert told.get(timeout=DEADLINE) == "another birth"
    end(children[0])
    ExitWatcher(EndPoll).watch(children[0].pid, before, partial(told.put, "gone"))
    assert told.get(timeout=DEADLINE) == "gone"


def test_a_watch_that_was_undone_tells_nothing_and_leaves_the_others(children: list[subprocess.Popen[bytes]]) -> None:
    told: queue.Queue[str] = queue.Queue()
    ends = ExitWatcher(EndPoll)
    undo = ends.watch(children[0].pid, born(children[0]), partial(told.put, "undone"))
    ends.watch(children[1].pid, born(children[1]), partial(told.put, "kept"))
    undo()
    undo()
    end(children[0])
    end(children[1])
    assert told.get(timeout=DEADLINE) == "kept"
    wait_for_no_watcher()
    assert told.empty()


async def test_who_awaits_many_ends_takes_one_thread_and_none_of_the_loop_s_own(
    children: list[subprocess.Popen[bytes]],
) -> None:
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    processes = [(child.pid, await asyncio.to_thread(born, child)) for child in children]
    awaited = [asyncio.create_task(wait_end(*process)) for process in processes for _ in range(10)]
    # Each gets as far as its wait when the loop turns.
    await asyncio.sleep(0)
    # The one thread of the pool is free for others.
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.to_thread(watchers) == ["process-ends"]
    awaited.pop().cancel()
    for child in children:
        await asyncio.to_thread(end, child)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*awaited)
    await asyncio.to_thread(wait_for_no_watcher)
