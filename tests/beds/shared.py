"""Which processes below a test run belong to a bed that several tests share, such as a container engine.

No test has started them, so none counts them among what it left behind, and none ends them.
"""

from __future__ import annotations

import psutil

from tests.beds.systemd import is_inside

roots: set[int] = set()
"""The pids of the beds' own processes, while they live. A bed adds and removes its own."""


def is_shared(process: psutil.Process) -> bool:
    """Whether that process is a shared bed's, or descends from one."""
    if is_inside(process):
        return True
    if not roots:
        return False
    try:
        return not roots.isdisjoint({process.pid, *(parent.pid for parent in process.parents())})
    except psutil.Error:
        return False
