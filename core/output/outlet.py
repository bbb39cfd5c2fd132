"""Texts on their way to a place that may hang or be full: a pipe that nobody reads, a disk. Nobody waits for them.

Used for what the program prints and for its own log. Ollama's output has a way of its own, `core.shim.pump`, that
holds a fast writer back instead of dropping lines.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable

MOST_QUEUED = 256 * 1024
"""Characters that wait at most. What comes on top of them is dropped and counted."""
DRAIN_SECONDS = 1.0


class Outlet:
    """A bounded queue, and one daemon thread that empties it into one place.

    The thread sleeps while the queue is empty. When the program ends, the queue gets DRAIN_SECONDS more.
    """

    def __init__(self, name: str, write: Callable[[str], None], loss_text: Callable[[int], str]) -> None:
        """`write` is called on the thread with whole lines; it may block, and raise OSError if it cannot write.

        Lines that were dropped, or that `write` failed for, are told to the same place as `loss_text` of their number,
        in front of the next lines that follow them.
        """
        self._write = write
        self._loss_text = loss_text
        # Reentrant: a destructor may log while its thread is in `put`.
        self._changed = threading.Condition(threading.RLock())
        # Each text comes with the number of lines that were dropped before it.
        self._queue: deque[tuple[str, int]] = deque()
        self._queued = 0
        self._dropped = 0
        self._is_writing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._is_started = False
        self._is_over = False
        atexit.register(self._end)

    def put(self, text: str) -> None:
        """Queue whole lines, or drop them if the queue is full. From any thread; never blocks, never raises."""
        with self._changed:
            if self._queue and self._queued + len(text) > MOST_QUEUED:
                self._dropped += text.count("\n")
                return
            self._queue.append((text, self._dropped))
            self._queued += len(text)
            self._dropped = 0
            if not self._is_started:
                self._start()
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait until all that was queued has been written or lost, `seconds` at most; False if it has not.

        Once the program's end has waited in vain, nobody waits any more.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._queue and not self._is_writing, 0 if self._is_over else seconds
            )

    def _end(self) -> None:
        self._is_over = not self.drain(DRAIN_SECONDS)

    def _start(self) -> None:
        try:
            self._thread.start()
            self._is_started = True
        except RuntimeError:
            # The system grants no thread at the moment; the next text tries again.
            return

    def _run(self) -> None:
        lost = 0
        while True:
            text, dropped = self._next()
            lost += dropped
            try:
                self._write(self._loss_text(lost) + text if lost else text)
                lost = 0
            except OSError:
                lost += text.count("\n")

    def _next(self) -> tuple[str, int]:
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue or self._dropped)
            self._is_writing = True
            if not self._queue:
                dropped, self._dropped = self._dropped, 0
                return "", dropped
            entry = self._queue.popleft()
            self._queued -= len(entry[0])
            return entry


def loss_line(lost: int, why: str) -> str:
    """The line that tells how many are missing, in the form of our own log."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    what = "1 line is" if lost == 1 else f"{lost} lines are"
    return f"{stamp} WARNING {__name__}: {what} missing here: {why}\n"
