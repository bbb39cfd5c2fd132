"""Reports the ends of processes, which need not be our children: one thread waits for all of them.

Logic of this module: each thread owns one `EndPoll`, the kernel's way to wait for several ends at once (pidfds, a
kqueue, or process handles), and only that thread adds to it and removes from it. `watch`, and the function that it
returns, only change the set of wanted processes and wake the thread, which then adjusts the poll. So no caller ever
waits for the kernel, and the thread itself tries again if a process cannot be read for want of a descriptor. A second
thread exists only where one poll holds too few processes (64 on Windows). A thread ends when nothing is watched.
"""

from __future__ import annotations

import threading
import time
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    Key = tuple[int, str]

    class EndPoll(Protocol):
        """Waits for the ends of several processes. For one thread, but for `wake`. Making one may raise OSError."""

        def add(self, pid: int, birth: str) -> bool:
            """Wait for that process too; False if it has ended already. Raises OSError if it cannot be read."""

        def remove(self, pid: int, birth: str) -> None:
            """Wait no longer for a process that was added and whose end has not been reported."""

        def wait(self, timeout: float | None) -> list[Key]:
            """Those that have ended, which it then forgets; none after `timeout` seconds or `wake`."""

        def wake(self) -> None:
            """End the wait under way or, if there is none, the next one. From any thread."""

        def close(self) -> None:
            """Release everything."""


_RETRY_SECONDS = 0.25


class ExitWatcher:
    """All that is watched. Use it from any thread."""

    def __init__(self, make_poll: Callable[[], EndPoll], capacity: int = 1 << 20) -> None:
        """One poll can hold `capacity` processes."""
        self._make_poll = make_poll
        self._capacity = capacity
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []

    def watch(self, pid: int, birth: str, on_end: Callable[[], object]) -> Callable[[], None]:
        """Call `on_end` once, from another thread, when that process has ended; soon if it is gone already.

        Never blocks. The function that is returned ends the watch; it may be called at any time and repeatedly, and a
        call of `on_end` may be under way then. Raises RuntimeError if the system grants no thread.
        """
        with self._lock:
            has_room = (
                waiter
                for waiter in self._waiters
                if (pid, birth) in waiter.wanted or len(waiter.wanted) < self._capacity
            )
            waiter = next(has_room, None)
            if waiter is None:
                waiter = _Waiter(self._make_poll, self._lock, self._waiters)
                waiter.start()
                self._waiters.append(waiter)
            waiter.wanted.setdefault((pid, birth), []).append(on_end)
            waiter.wake()
        return partial(self._forget, waiter, (pid, birth), on_end)

    def _forget(self, waiter: _Waiter, process: Key, on_end: Callable[[], object]) -> None:
        with self._lock:
            calls = waiter.wanted.get(process, [])
            if on_end in calls:
                calls.remove(on_end)
                if not calls:
                    del waiter.wanted[process]
                waiter.wake()


class _Waiter(threading.Thread):
    """One thread with its poll. `lock` guards `wanted`, `siblings` and who may wake the poll."""

    def __init__(self, make_poll: Callable[[], EndPoll], lock: threading.Lock, siblings: list[_Waiter]) -> None:
        super().__init__(name="process-ends", daemon=True)
        self.wanted: dict[Key, list[Callable[[], object]]] = {}
        self._make_poll = make_poll
        self._lock = lock
        self._siblings = siblings
        self._poll: EndPoll | None = None
        self._added: set[Key] = set()

    def wake(self) -> None:
        """Have the thread read `wanted` again. Call it with the lock held."""
        if self._poll:
            self._poll.wake()

    def run(self) -> None:
        """Wait and tell, as long as anything is wanted."""
        while True:
            with self._lock:
                wanted = set(self.wanted)
                if not wanted:
                    self._siblings.remove(self)
                    poll, self._poll = self._poll, None
                    break
            try:
                if self._poll is None:
                    made = self._make_poll()
                    with self._lock:
                        self._poll = made
                        # `wanted` may have changed while there was no poll to wake.
                        made.wake()
                poll = self._poll
                is_complete = self._adjust(poll, wanted)
                ended = poll.wait(None if is_complete else _RETRY_SECONDS)
            except OSError:
                time.sleep(_RETRY_SECONDS)
                continue
            self._added.difference_update(ended)
            self._tell(ended)
        if poll:
            poll.close()

    def _adjust(self, poll: EndPoll, wanted: set[Key]) -> bool:
        """Add new processes and remove those that nobody watches; False if one could not be read."""
        for process in self._added - wanted:
            poll.remove(*process)
        self._added &= wanted
        is_complete = True
        for process in wanted - self._added:
            try:
                if poll.add(*process):
                    self._added.add(process)
                else:
                    self._tell([process])
            except OSError:
                is_complete = False
        return is_complete

    def _tell(self, ended: list[Key]) -> None:
        with self._lock:
            calls = [call for process in ended for call in self.wanted.pop(process, [])]
        for call in calls:
            call()
