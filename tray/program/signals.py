"""Signals for a program whose main thread is inside a UI toolkit, where Python's handlers would wait for ever."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

from core.supervision import stop_signals


class SignalWatch:
    """Calls back, once or twice and on any thread, for each signal that asks the program to end. A context manager.

    The interpreter's C handler writes the number to a socket at once, whatever the main thread does: signal(3),
    `signal.set_wakeup_fd`. Make it and leave it on the main thread. Once it is left, stop signals are ignored: the
    program is about to end, and one that is repeated must not keep it from ending in order.
    """

    def __init__(self, on_signal: Callable[[int], None]) -> None:
        self._on_signal = on_signal
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._read, name="signals", daemon=True)
        self._numbers = stop_signals.handled()

    def __enter__(self) -> SignalWatch:
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self.claim()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    def claim(self) -> None:
        """Have the signals come here, also after a toolkit has taken one for itself.

        Does nothing off the main thread, where Python forbids it: the toolkits that call back there take no signals.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self._numbers:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # PyGObject takes the wakeup descriptor for itself while its loop runs, and in return lets handlers run.
        self._on_signal(number)

    def _read(self) -> None:
        while numbers := self._reader.recv(64):
            for number in numbers:
                self._on_signal(number)
