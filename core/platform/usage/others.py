"""Windows and macOS, by psutil. Contract: `core.platform.usage`."""

from __future__ import annotations

from contextlib import suppress

import psutil

from core.platform.usage.facts import Usage


def descendants(pid: int) -> list[int]:
    """Contract: `core.platform.usage`."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except (psutil.Error, OSError):
        return []


def measure(pid: int) -> Usage | None:
    """Contract: `core.platform.usage`."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            # Each system has one of the two.
            count = getattr(process, "num_handles", None) or getattr(process, "num_fds", None)
            open_files = None
            with suppress(psutil.Error, OSError):
                open_files = int(count()) if count else None
            return Usage(
                pid,
                process.create_time(),
                times.user + times.system,
                process.memory_info().rss,
                process.num_threads(),
                open_files,
            )
    except (psutil.Error, OSError):
        return None


def command_of(pid: int) -> tuple[str, ...]:
    """Contract: `core.platform.usage`."""
    try:
        return tuple(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return ()
