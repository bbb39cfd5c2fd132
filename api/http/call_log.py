"""The lines about calls in our own log, limited in number, and a count of the rest."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

MOST_LINES = 20
"""Lines of one kind that are written within a second."""
WINDOW_SECONDS = 1.0


class CallLog:
    """Writes calls to a logger, at most `MOST_LINES` of a kind within a second, and then how many more there were.

    Any program, and any web page, can cause refused calls at will, and must not flood the log. At level DEBUG
    (`--verbose`) every call is written. Belongs to the loop; a timer is set only after a line was left out.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._written: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._window_ends = float("-inf")

    def write(self, kind: str, level: int, line: str, *arguments: object, exc_info: Exception | None = None) -> None:
        """Write a line, or only count it. `kind` completes the sentence "3 more calls were …"."""
        if not self._log.isEnabledFor(level):
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._window_ends:
            self._written.clear()
            self._window_ends = loop.time() + WINDOW_SECONDS
        self._written[kind] += 1
        if self._written[kind] <= MOST_LINES or self._log.isEnabledFor(logging.DEBUG):
            self._log.log(level, line, *arguments, exc_info=exc_info)
            return
        if not self._left_out:
            loop.call_at(self._window_ends, self._tell_rest)
        self._left_out[kind] += 1

    def _tell_rest(self) -> None:
        for kind, count in self._left_out.items():
            self._log.info("%d more calls were %s", count, kind)
        self._left_out.clear()
