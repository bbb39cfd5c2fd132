"""Counts the requests of one instance by its log: all of them, at the price of reading what was added since.

Nothing looks at the log between two calls of `catch_up`. It is read in order, over segments and starts, from where the
call before had stopped; so each line counts once, whether one second or half a minute lies between. Only what is pruned
before it is read is missed: 128 MiB of one start by default, a million requests. Works in a thread.
"""

from __future__ import annotations

from core.logs.places import Place
from core.metrics.gin import requests_in
from core.metrics.requests import RequestCounts
from core.owners.logs import Logs

MOST_BYTES = 16 << 20
"""What one call reads. The rest is for the next one."""


class LogCount:
    """The counts, and how far the log has been read. One thread at a time."""

    def __init__(self, logs: Logs) -> None:
        self.counts = RequestCounts()
        self.gaps = 0
        """How often lines were deleted before they were read."""
        self._logs = logs
        self._place: Place | None = None

    def catch_up(self) -> None:
        """Count what was printed since the last call; the first one only notes where the log ends.

        Blocks on the disk. Raises OSError, and goes on from where it was the next time.
        """
        if self._place is None:
            self._place = self._logs.end()
        read = 0
        while read < MOST_BYTES and (block := self._logs.after(self._place)):
            self.counts.add(requests_in(block.data))
            self.gaps += block.has_gap
            self._place = block.end
            read += len(block.data)
            if not block.data:
                break
