"""Runs the one asyncio loop on its own thread, beside the UI on the main one, and carries calls across."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from core.threads import single_flight


class Bridge:
    """A thread with a loop that lives as long as one coroutine."""

    def __init__(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._main = main
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop")
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start the thread; returns once its loop takes calls."""
        self._thread.start()
        self._running.wait()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Have `function` called on the loop, soon. From any thread; never blocks; nothing happens after the end."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # It closed between the look and the call.
            return

    def join(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds, None without limit, for the coroutine's end; `error` is what it raised."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            single_flight.run(self._noting_loop())
        except BaseException as error:
            # The main thread tells it, once the UI has ended.
            self.error = error
        finally:
            self._running.set()

    async def _noting_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running.set()
        await self._main()
