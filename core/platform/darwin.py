"""macOS process facts, read through libproc, and kqueue. Used by `posix` only."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys

from core.platform.table import Process

assert sys.platform == "darwin"

_PROC_PIDTBSDINFO = 3
_ZOMBIE = 5
# struct proc_bsdinfo in <sys/proc_info.h>: status is the 2nd word, ppid the 5th; the start time closes it.
_BSDINFO = struct.Struct("=12I16s32s5Ii2Q")
_STATUS, _PPID, _START_SECONDS, _START_MICROSECONDS = 1, 4, -2, -1
_LIBC = ctypes.CDLL(None)


def look(pid: int) -> Process | None:
    """The live process with that pid, or None if there is none (a zombie is not alive) or it may not be looked at.

    Birth is the kernel's start time in seconds and microseconds, unrounded.
    """
    buffer = ctypes.create_string_buffer(_BSDINFO.size)
    if _LIBC.proc_pidinfo(pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(0), buffer, _BSDINFO.size) != _BSDINFO.size:
        return None
    fields = _BSDINFO.unpack(buffer.raw)
    if fields[_STATUS] == _ZOMBIE:
        return None
    try:
        session = os.getsid(pid)
    except OSError:
        return None
    return Process(pid, fields[_PPID], session, f"{fields[_START_SECONDS]}.{fields[_START_MICROSECONDS]:06}")


def table() -> list[Process]:
    """Every live process that may be looked at."""
    # The first call returns how many there are; some may be born before the second.
    pids = (ctypes.c_int * (_LIBC.proc_listallpids(None, 0) + 64))()
    count = _LIBC.proc_listallpids(pids, ctypes.sizeof(pids))
    rows = (look(pid) for pid in pids[:count])
    return [row for row in rows if row is not None]


def bears(pid: int, mark: bytes) -> bool:
    """macOS does not show environments; there the session has to do."""
    return False


def adopt_orphans() -> None:
    """macOS has no child subreaper; the session finds the orphans."""


def keep_one_heap() -> None:
    """macOS does not scatter what threads let go of."""


def send_signal(pid: int, birth: str, number: int) -> bool:
    """Signal exactly that process; False if it is gone or may not be signalled."""
    process = look(pid)
    if process is None or process.birth != birth:
        return False
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def wait_end(pid: int, birth: str, cancelled: int) -> bool:
    """Block until that process has ended (True) or the descriptor `cancelled` becomes readable (False)."""
    queue = select.kqueue()
    try:
        changes = [
            select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT),
            select.kevent(cancelled, select.KQ_FILTER_READ, select.KQ_EV_ADD),
        ]
        try:
            queue.control(changes, 0)
        except ProcessLookupError:
            return True
        process = look(pid)
        if process is None or process.birth != birth:
            return True
        return any(event.ident == pid and event.filter == select.KQ_FILTER_PROC for event in queue.control(None, 2))
    finally:
        queue.close()
