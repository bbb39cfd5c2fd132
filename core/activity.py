"""Whether an Ollama is at work: nothing in its API tells, but its model runner's processor time does."""

from __future__ import annotations

import time

import psutil

LOOK_SECONDS = 0.4
_BUSY_SHARE = 0.1


def is_busy(pid: int) -> bool:
    """Whether the descendants of that Ollama use a tenth of a core or more. Blocks for 0.4 s: call it in a thread.

    A runner that waits for a graphics card polls it, and so counts as busy too; an idle one uses next to nothing.
    """
    before = _seconds_used(pid)
    time.sleep(LOOK_SECONDS)
    return _seconds_used(pid) - before >= LOOK_SECONDS * _BUSY_SHARE


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
