"""What a process costs while it seems to do nothing: Linux, because of /proc."""

from __future__ import annotations

import re
from pathlib import Path

_WAKE_UPS = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


def wake_ups(pid: int) -> int:
    """How often its threads, those that live, have gone to sleep of their own accord: once for each wake-up."""
    return sum(int(count) for task in _tasks(pid) for count in _WAKE_UPS.findall((task / "status").read_text()))


def busy_seconds(pid: int) -> float:
    """Processor seconds of all threads that live."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e9


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def proportional_bytes(pid: int) -> int:
    """The memory it takes (PSS), what it shares with others divided among them."""
    (kilobytes,) = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024
