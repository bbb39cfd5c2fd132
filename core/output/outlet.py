"""A bounded queue and a thread that write text to a destination that may hang: a pipe that nobody reads, a disk.

Used for what the program prints and for its own log. Ollama's output does not pass here: `core.shim.pump` slows a fast
writer down instead of dropping lines.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

MOST_QUEUED = 256 * 1024
"""Limit of the queue, in characters. Lines beyond it are dropped and counted."""
DRAIN_SECONDS = 1.0


class Outlet:
    """A bounded queue, and one daemon thread that writes it to one destination.

    The thread sleeps while the queue is empty. At the end of the program, up to DRAIN_SECONDS are spent to empty it.
    """

    def __init__(self, name: str, write: Callable[[str], None], loss_text: Callable[[int], str]) -> None:
        """`write` is called on the thread with whole lines; it may block, and raises OSError if it cannot write.

        After lines were dropped, or `write` has failed, `loss_text` of their number is written before the next lines.
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
                # The system may grant no thread at the moment; then the next text tries again.
                with suppress(RuntimeError):
                    self._thread.start()
                    self._is_started = True
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Wait up to `seconds` until everything in the queue has been written or lost. Returns whether it has.

        Returns at once if the end of the program has already waited in vain.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._queue and not self._is_writing, 0 if self._is_over else seconds
            )

    def _end(self) -> None:
        self._is_over = not self.drain(DRAIN_SECONDS)

    def _run(self) -> None:
        lost = 0
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._dropped)
                self._is_writing = True
                if self._queue:
                    text, dropped = self._queue.popleft()
                    self._queued -= len(text)
                else:
                    text, dropped, self._dropped = "", self._dropped, 0
            lost += dropped
            try:
                self._write(self._loss_text(lost) + text if lost else text)
                lost = 0
            except OSError:
                lost += text.count("\n")


def loss_line(lost: int, why: str) -> str:
    """A line that tells how many lines are missing and why, in the format of our own log."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    what = "1 line is" if lost == 1 else f"{lost} lines are"
    return f"{stamp} WARNING {__name__}: {what} missing here: {why}\n"
