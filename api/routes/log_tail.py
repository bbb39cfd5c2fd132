"""The last lines of Ollama's log as an answer: one read at a time, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.http.body import encoded
from api.schemas import LogsBody
from core.owners.logs import Logs
from core.threads.single_flight import SingleFlight

LOG_SECONDS = 5.0
"""How long the disk may take. The Aura app waits for 30 s, and then asks three times more."""


class LogTail:
    """Answers from the logs of one instance. Belongs to the loop; reads and encodes in a thread.

    One caller at a time, because an answer may take a hundred megabytes of memory for a moment.
    """

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._most_lines = 0
        self._turn = asyncio.Lock()
        self._reading = SingleFlight("log tail", self._read)

    async def body(self, most_lines: int, is_still_wanted: Callable[[], bool]) -> bytes:
        """A `LogsBody` with the last lines; empty if `is_still_wanted` is false when the caller's turn comes.

        If the disk does not answer within 5 s, `error` says so; for callers whose turn comes meanwhile, at once.
        """
        async with self._turn:
            if not is_still_wanted():
                return b""
            self._most_lines = most_lines
            try:
                # A read that is still under way hangs. Its time counts, so that callers do not wait 5 s each.
                return await self._reading.run(LOG_SECONDS - self._reading.running_for)
            except (TimeoutError, OSError):
                return encoded(LogsBody([], 0, f"{self._logs.place} cannot be read: its disk does not answer."))

    def _read(self) -> bytes:
        lines = self._logs.tail(self._most_lines)
        return encoded(LogsBody(lines, len(lines)))
