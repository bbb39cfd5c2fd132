"""Linux: /proc, read directly, since to read the whole process table each second costs a hundred times as much.

Source of all fields: proc(5). Contract: `core.platform.usage`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from core.platform.usage.facts import Usage

assert sys.platform == "linux"

from core.platform.linux import children  # noqa: E402 - it exists on this system only

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# In `stat`, counted from behind the command's name: utime, stime, threads, start in ticks since boot, resident pages.
_USER, _SYSTEM, _THREADS, _START, _PAGES = 11, 12, 17, 19, 21


def _read_boot_time() -> float:
    with open("/proc/stat", "rb") as file:
        return next((float(line.split()[1]) for line in file if line.startswith(b"btime ")), 0.0)


_BOOTED_AT = _read_boot_time()


def descendants(pid: int) -> list[int]:
    """Contract: `core.platform.usage`. One that is born meanwhile may be missing."""
    found = children(pid)
    for child in found:
        # It grows while it is walked: children of children come behind.
        found += children(child)
    return found


def measure(pid: int) -> Usage | None:
    """Contract: `core.platform.usage`. A zombie does not live."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    open_files = None
    with suppress(OSError):
        open_files = len(os.listdir(f"/proc/{pid}/fd"))
    return Usage(
        pid,
        _BOOTED_AT + int(fields[_START]) / _TICKS,
        (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS,
        int(fields[_PAGES]) * _PAGE,
        int(fields[_THREADS]),
        open_files,
    )


def command_of(pid: int) -> tuple[str, ...]:
    """Contract: `core.platform.usage`."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            content = file.read()
    except OSError:
        return ()
    return tuple(os.fsdecode(word) for word in content.removesuffix(b"\0").split(b"\0")) if content else ()
