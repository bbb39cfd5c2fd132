"""Whether an Ollama is at work. Its API does not tell; its log and the processor time of its model runners do."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Protocol

import psutil

from core.threads.single_flight import SingleFlight

SAMPLE_SECONDS = 0.4
_BUSY_SHARE = 0.1
_DISK_SECONDS = 1.0


class Ends(Protocol):
    """Where a log ends: of the protocol `core.owners.logs.Logs` what is needed here."""

    def end(self) -> Hashable:
        """Contract: `Logs.end`."""

    def end_of_output(self) -> Hashable | None:
        """Contract: `Logs.end_of_output`."""


class LogGrowth:
    """Whether a managed Ollama prints: it does so while it starts, and for each request that is not ours.

    Belongs to one loop.
    """

    def __init__(self, logs: Ends) -> None:
        self._measuring = SingleFlight("log size", logs.end)
        self._reading = SingleFlight("log begin", logs.end_of_output)
        self._end: Hashable = None
        self._output: Hashable = None

    async def has_grown(self) -> bool:
        """Whether the log has grown since the last call; True at the first call. Takes 1 s at most.

        False also while the disk does not answer.
        """
        try:
            end = await self._measuring.run(_DISK_SECONDS)
        except (TimeoutError, OSError):
            return False
        before, self._end = self._end, end
        return end != before

    async def has_printed(self) -> bool:
        """Whether the Ollama of the newest log has printed since the last call that says so; lines of ours count not.

        At the first call: since its start. As to time and disk as `has_grown`.
        """
        try:
            end = await self._reading.run(_DISK_SECONDS)
        except (TimeoutError, OSError):
            return False
        before, self._output = self._output, self._output if end is None else end
        return end is not None and end != before


def is_busy(pid: int) -> bool:
    """Whether the descendants of that Ollama use a tenth of a core or more. Blocks for 0.4 s: call it in a thread.

    A runner that computes on a GPU polls it, and so uses a core too; an idle runner uses almost nothing.
    """
    before = _seconds_used(pid)
    time.sleep(SAMPLE_SECONDS)
    return _seconds_used(pid) - before >= SAMPLE_SECONDS * _BUSY_SHARE


def _seconds_used(pid: int) -> float:
    try:
        family = psutil.Process(pid).children(recursive=True)
    except (psutil.Error, OSError):
        return 0.0
    used = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except (psutil.Error, OSError):
            continue
        used += times.user + times.system
    return used
