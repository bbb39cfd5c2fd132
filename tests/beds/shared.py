"""Which processes below a test run belong to a bed that several tests share, such as a container engine.

No test has started them, so none counts them among what it left behind, and none ends them.
"""

from __future__ import annotations

import psutil

roots: set[int] = set()
"""The pids of the beds' own processes, while they live. A bed adds and removes its own."""


def descends(process: psutil.Process, pids: set[int]) -> bool:
    """Whether that process is one of these, or descends from one."""
    try:
        return bool(pids) and not pids.isdisjoint({process.pid, *(parent.pid for parent in process.parents())})
    except psutil.Error:
        return False
