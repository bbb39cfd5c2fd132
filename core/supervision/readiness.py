"""Waits until a managed Ollama that has just been started is ready: our process answers `/api/version` on our port.

Neither its models nor its greeting matter here. One call for the version may take all the time there is, so that a slow
server is not asked again while it still works on the first call.

How long: `readyTimeout`, and up to `EXTRA_SECONDS` more while the child still prints or holds its port. A child that
answers as something else, or whose port somebody else holds, gets no more time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from core.endpoint import Endpoint
from core.errors import StartTimedOut
from core.ollama.activity import LogGrowth
from core.ollama.listener import Listener
from core.ollama.probe import PROBE_SECONDS, Answer, Probe
from core.owners.protocol import Running
from core.platform import sockets
from core.supervision import preflight
from core.supervision.observer import Observer

EXTRA_SECONDS = 30.0
"""How much longer than `readyTimeout` a child may take that prints or holds its port: on a first start the search for
graphics cards may take that long."""
SILENCE_SECONDS = 10.0
"""How long a child without its port may be silent in its extra time; `readyTimeout`, if that is longer."""
STILL_PRINTS = "Ollama does not answer yet, but is still printing. It may be looking for graphics cards."
HAS_ITS_PORT = "Ollama has taken its port, but does not answer yet. It may be looking for graphics cards."
_FIRST_RETRY_SECONDS = 0.002
_LONGEST_RETRY_SECONDS = 0.25
_RETRY_GROWTH = 1.2
_MEASURE_SECONDS = 0.5
_ROUND_SECONDS = 1.0


def pauses() -> Iterator[float]:
    """The seconds between one probe and the next, without end.

    A warm Ollama binds its port some 40 ms after its start: nine probes fall into that time, the last two 9 ms apart.
    One that takes seconds to start is asked four times a second.
    """
    pause = _FIRST_RETRY_SECONDS
    while True:
        yield pause
        pause = min(pause * _RETRY_GROWTH, _LONGEST_RETRY_SECONDS)


class Readiness:
    """One wait for one start. `timeout` is `readyTimeout`, in seconds; the wait begins now."""

    def __init__(self, managed: Running, observer: Observer, log: LogGrowth, timeout: float) -> None:
        self._managed = managed
        self._observer = observer
        self._log = log
        self._endpoint = Endpoint.parse(managed.url)
        self._timeout = timeout
        self._silence = max(timeout, SILENCE_SECONDS)
        self._began = time.monotonic()
        self._printed_at: float | None = None
        self._last = Answer.NOBODY

    async def reached(self, on_overtime: Callable[[str], None]) -> Probe:
        """The probe that our Ollama answered. Raises CoreError if it does not answer in time.

        `on_overtime` is called once, when `readyTimeout` is over, with what is still waited for.
        """
        asking = asyncio.create_task(self._ask())
        watching = asyncio.create_task(self._watch_log())
        is_overtime = False
        try:
            while True:
                end = self._timeout + (EXTRA_SECONDS if is_overtime else 0.0)
                await asyncio.wait({asking}, timeout=min(max(end - self._elapsed, 0.0), _ROUND_SECONDS))
                if asking.done():
                    return asking.result()
                if self._elapsed < self._timeout:
                    continue
                what = await self._still_waits_for()
                if what is None or self._elapsed >= self._timeout + EXTRA_SECONDS:
                    elapsed = self._elapsed
                    if stranger := await self._stranger():
                        raise preflight.port_in_use(self._endpoint.port, stranger)
                    seconds = self._timeout if elapsed < self._timeout + 1 else round(elapsed)
                    raise StartTimedOut(
                        f"Ollama was started but did not answer at {self._endpoint.base_url} within {seconds:g} s.",
                        action="Look into the log, or allow more time with readyTimeout.",
                    )
                if not is_overtime:
                    is_overtime = True
                    on_overtime(what)
        finally:
            asking.cancel()
            watching.cancel()

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _ask(self) -> Probe:
        """The first answer that is a version and not a stranger's."""
        waits = pauses()
        while True:
            left = self._timeout + EXTRA_SECONDS - self._elapsed
            probe = await self._observer.probe(self._endpoint, is_ours=True, seconds=max(left, PROBE_SECONDS))
            self._last = probe.answer
            if probe.answer is Answer.OLLAMA and not await self._stranger():
                return probe
            await asyncio.sleep(next(waits))

    async def _watch_log(self) -> None:
        """Note when the child last printed. A task of its own, since a disk that hangs must not delay the probes."""
        while True:
            if await self._log.has_printed():
                self._printed_at = time.monotonic()
            await asyncio.sleep(min(_MEASURE_SECONDS, self._timeout / 4))

    async def _still_waits_for(self) -> str | None:
        """The reason to give a child more time that does not answer yet, None if there is none.

        Ollama binds its port before it looks for graphics cards, which it may do in silence, and answers after that:
        https://github.com/ollama/ollama/blob/main/server/routes.go, `Serve`.
        """
        if self._last is Answer.SOMETHING_ELSE:
            # Something else than an Ollama answers.
            return None
        if self._printed_at is not None and time.monotonic() - self._printed_at <= self._silence:
            return STILL_PRINTS if await self._stranger() is None else None
        listener = await self._observer.listener(self._endpoint, allow_cached=True)
        return HAS_ITS_PORT if listener and await self._is_ours(listener) else None

    async def _stranger(self) -> Listener | None:
        """The listener there, None if it is ours or cannot be known.

        Our process is asked about first: to search those of others takes many times as long as Ollama needs to answer.
        """
        if await asyncio.to_thread(sockets.are_held_by, self._endpoint.port, [self._managed.pid]):
            return None
        listener = await self._observer.listener(self._endpoint)
        return None if listener is None or await self._is_ours(listener) else listener

    async def _is_ours(self, listener: Listener) -> bool:
        # Where the system hides the pid, assume ours: the port was free just before the start, and the child lives.
        return listener.pid is None or await asyncio.to_thread(self._managed.owns, listener.pid)
