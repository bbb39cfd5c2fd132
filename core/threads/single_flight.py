"""Blocking work that may hang for ever: a disk of a network that is down, a name server that does not answer.

Such work has no place in the loop's default executor: a few calls that hang would take all of its threads, and the end
of the loop waits for each of them. Here a piece of work has at most one thread of its own, a daemon, which holds nobody
up; whoever waits for it has a deadline. `run` runs a loop whose end waits for no thread.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

_GOODBYE_SECONDS = 1.0
P = ParamSpec("P")
T = TypeVar("T")


class SingleFlight(Generic[T]):
    """One blocking function that never runs twice at the same time. Belongs to one loop.

    A call may join a run that is about to begin, never one that is under way: what it gets was found out after it
    asked. While a run hangs there is that one thread, however many ask, and nothing is kept for those who gave up.
    While nobody asks there is no thread.
    """

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        """`name` is the thread's, and what a TimeoutError names."""
        self._name = name
        self._work = work
        self._running: asyncio.Future[T] | None = None
        self._next: asyncio.Future[T] | None = None
        self._began = 0.0

    @property
    def running_for(self) -> float:
        """For how many seconds the run under way has lasted; 0 if there is none."""
        return time.monotonic() - self._began if self._running else 0.0

    async def run(self, seconds: float) -> T:
        """What the work returns or raises, from a run that begins after this call.

        Raises TimeoutError if that is not there within `seconds`, at once if a run under way has lasted longer than
        that already; OSError if the system gives us no thread.
        """
        late = f"{self._name}: no answer within {seconds:g} s"
        if self.running_for > seconds:
            raise TimeoutError(late)
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            # Soon, not at once, so that whoever asks in the same turn of the loop shares the run.
            loop.call_soon(self._begin)
        awaited = self._next
        # Unlike `wait_for`, this leaves the future alone when it gives up: others wait for it too.
        await asyncio.wait([awaited], timeout=seconds)
        if not awaited.done():
            raise TimeoutError(late)
        return awaited.result()

    def _begin(self) -> None:
        """Start the next run, if somebody waits for one and none is under way."""
        if self._running or not self._next:
            return
        run, self._next = self._next, None
        self._running, self._began = run, time.monotonic()
        thread = threading.Thread(target=self._work_in_thread, args=[run], name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._settle(partial(run.set_exception, OSError(errno.EAGAIN, str(error))))

    def _work_in_thread(self, run: asyncio.Future[T]) -> None:
        deliver: Callable[[], None]
        try:
            deliver = partial(run.set_result, self._work())
        except Exception as error:
            deliver = partial(run.set_exception, error)
        # The loop may have ended meanwhile, and then nobody waits.
        with suppress(RuntimeError):
            run.get_loop().call_soon_threadsafe(self._settle, deliver)

    def _settle(self, deliver: Callable[[], None]) -> None:
        """On the loop: hand the result of the run under way to whoever still waits for it, and begin the next one."""
        run, self._running = self._running, None
        deliver()
        if run:
            # Marks an exception as seen, which asyncio would report if all had given up.
            run.exception()
        self._begin()


async def within(seconds: float, name: str, work: Callable[[], T]) -> T:
    """What `work` returns or raises, from a daemon thread of its own. Raises TimeoutError after `seconds`.

    The thread goes on after that; `work` must be such that its late effect does no harm.
    """
    return await SingleFlight(name, work).run(seconds)


class DaemonExecutor(ThreadPoolExecutor):
    """A loop's default executor whose threads hold up neither the loop's end nor the program's.

    asyncio takes no executor of another class. Of the base class nothing is used: its threads are waited for at the
    end of the program, however long they hang.
    """

    def __init__(self, most_threads: int = 16) -> None:
        super().__init__(max_workers=1)
        self._most = most_threads
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._workers: list[threading.Thread] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it called in a thread, at once if one is free or may be started. From one thread, the loop's."""
        future: Future[T] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        if not self._free.acquire(blocking=False) and len(self._workers) < self._most:
            worker = threading.Thread(target=self._serve, name=f"executor {len(self._workers)}", daemon=True)
            worker.start()
            self._workers.append(worker)
        return future

    def _serve(self) -> None:
        while call := self._calls.get():
            future, function = call
            if not future.set_running_or_notify_cancel():
                self._free.release()
                continue
            deliver: Callable[[], None]
            try:
                deliver = partial(future.set_result, function())
            except BaseException as error:
                deliver = partial(future.set_exception, error)
            # First, for whoever hears of the result may come with the next call.
            self._free.release()
            deliver()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end. With `wait`, give what they are at 1 s."""
        for _ in self._workers:
            self._calls.put(None)
        deadline = time.monotonic() + _GOODBYE_SECONDS
        for worker in self._workers if wait else ():
            worker.join(max(0.0, deadline - time.monotonic()))


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but without waiting at the end for threads that hang."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(DaemonExecutor())
        return runner.run(main)
