"""One thread that hands toasts over, since a notification service may take its time or never answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tray.toasts import Toast


class ToastThread:
    """Hands over one toast after the other; of those that wait meanwhile, the newest only."""

    def __init__(self, hand_over: Callable[[Toast], None]) -> None:
        """`hand_over` is called on this thread; it may block, and must not raise."""
        self._hand_over = hand_over
        self._changed = threading.Condition()
        self._waiting: Toast | None = None
        # It must not hold up the program's end: what is said then is of no use any more.
        self._thread = threading.Thread(target=self._run, name="toasts", daemon=True)
        self._thread.start()

    def show(self, toast: Toast) -> None:
        """Have `toast` shown soon, instead of one that still waits. From any thread; never blocks."""
        with self._changed:
            self._waiting = toast
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                toast, self._waiting = self._waiting, None
            if toast:
                self._hand_over(toast)
