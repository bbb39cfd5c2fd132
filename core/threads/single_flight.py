"""Blocking work that may hang for ever: a network disk that is down, a name server that does not answer.

Such work must not run in the loop's default executor: a few calls that hang would take all of its threads, and the end
of the loop waits for each of them. Here each piece of work has at most one thread of its own, a daemon, and callers
wait with a deadline. `run` runs a loop whose end waits for no thread.
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

    Concurrent calls share a run, but only one that begins after the call, so the result is never older than the
    question. While a run hangs there is one thread, however many callers there are. Without callers there is none.
    """

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        """`name` is the thread's name, and is quoted by TimeoutError."""
        self._name = name
        self._work = work
        self._running: asyncio.Future[T] | None = None
        self._next: asyncio.Future[T] | None = None
        self._began = 0.0

    @property
    def running_for(self) -> float:
        """How long the present run has lasted, in seconds; 0 if there is none."""
        return time.monotonic() - self._began if self._running else 0.0

    async def run(self, seconds: float) -> T:
        """Return or raise what the work does, in a run that begins after this call.

        Raises TimeoutError after `seconds`, or at once if the present run has already lasted longer than that; OSError
        if the system grants no thread.
        """
        late = f"{self._name}: no answer within {seconds:g} s"
        if self.running_for > seconds:
            raise TimeoutError(late)
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            # Not at once, so that all callers in this iteration of the loop share the run.
            loop.call_soon(self._begin)
        awaited = self._next
        # `wait_for` would cancel the future at the timeout, and other callers wait for it too.
        await asyncio.wait([awaited], timeout=seconds)
        if not awaited.done():
            raise TimeoutError(late)
        return awaited.result()

    def _begin(self) -> None:
        """Start the next run, if there are callers for one and no run is under way."""
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
        # Raised if the loop has been closed; then nobody waits.
        with suppress(RuntimeError):
            run.get_loop().call_soon_threadsafe(self._settle, deliver)

    def _settle(self, deliver: Callable[[], None]) -> None:
        """On the loop: give the result to the callers that still wait, and begin the next run."""
        run, self._running = self._running, None
        deliver()
        if run:
            # Marks an exception as retrieved. Otherwise asyncio logs it if every caller has given up.
            run.exception()
        self._begin()


async def within(seconds: float, name: str, work: Callable[[], T]) -> T:
    """Return or raise what `work` does, in a daemon thread of its own. Raises TimeoutError after `seconds`.

    The thread goes on after the timeout, so a late effect of `work` must do no harm.
    """
    return await SingleFlight(name, work).run(seconds)


class DaemonExecutor(ThreadPoolExecutor):
    """A loop's default executor whose threads delay neither the end of the loop nor that of the program.

    It inherits from ThreadPoolExecutor only because asyncio accepts no other class. The base class is not used: at the
    end of the program Python waits for its threads, however long they hang.
    """

    def __init__(self, most_threads: int = 16) -> None:
        super().__init__(max_workers=1)
        self._most = most_threads
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._workers: list[threading.Thread] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call it in a thread, at once if one is free or may be started. For one thread only, the loop's."""
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
            # Released before the result is delivered, because the result may cause the next call.
            self._free.release()
            deliver()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end. With `wait`, wait up to 1 s for the present calls."""
        for _ in self._workers:
            self._calls.put(None)
        deadline = time.monotonic() + _GOODBYE_SECONDS
        for worker in self._workers if wait else ():
            worker.join(max(0.0, deadline - time.monotonic()))


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but does not wait at the end for threads that hang."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(DaemonExecutor())
        return runner.run(main)
