"""What an engine measures of one container. Pure.

The answer is that of `GET /containers/NAME/stats?stream=false&one-shot=true`:
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerStats
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from core.owners.container.facts import EngineAnswerOdd
from core.owners.protocol import Reading

_NANOSECONDS = 1e9
# What the system caches of files and has not used of late, in version 1 and in version 2 of control groups.
# `docker stats` leaves out the same.
_CACHED = ("total_inactive_file", "inactive_file")


class CpuUsage(msgspec.Struct, frozen=True):
    """`total_usage` is in nanoseconds of one core, since the start of the run."""

    total_usage: int = 0


class Cpu(msgspec.Struct, frozen=True):
    """What it has used of the processor."""

    cpu_usage: CpuUsage = CpuUsage()


class Memory(msgspec.Struct, frozen=True):
    """Bytes. `stats` is as the kernel has it; Podman leaves it out."""

    usage: int = 0
    stats: dict[str, int] | None = None


class Pids(msgspec.Struct, frozen=True):
    """`current` counts threads, in spite of its name."""

    current: int = 0


class Stats(msgspec.Struct, frozen=True):
    """One measurement. An engine gives 0 where the control groups do not count."""

    cpu_stats: Cpu = Cpu()
    memory_stats: Memory = Memory()
    pids_stats: Pids = Pids()

    def reading(self, started_at: float) -> Reading | None:
        """The same in the words of `protocol`, for the run that began then; None if the container does not run."""
        used, memory, threads = self.cpu_stats.cpu_usage.total_usage, self.memory_stats, self.pids_stats.current
        if not (used or memory.usage or threads):
            return None
        cached = next((count for name in _CACHED if (count := (memory.stats or {}).get(name))), 0)
        return Reading(started_at, used / _NANOSECONDS or None, max(0, memory.usage - cached) or None, threads or None)


def parse(answer: Mapping[str, Any]) -> Stats:
    """The measurement of an engine's answer. Raises EngineAnswerOdd."""
    try:
        return msgspec.convert(answer, Stats)
    except msgspec.ValidationError as error:
        raise EngineAnswerOdd(str(error)) from error
