"""macOS process facts, read through libproc, and kqueue. Used by `posix` only."""

from __future__ import annotations

import contextlib
import ctypes
import errno
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
_LIBC = ctypes.CDLL(None, use_errno=True)
# Zero: the answer was too short, as it is for a process that is just ending.
_GONE = (0, errno.ESRCH, errno.EPERM, errno.EACCES, errno.EINVAL)


def read_process(pid: int) -> Process | None:
    """The live process with that pid, from libproc; None if there is none, it is a zombie, or we may not read it.

    Its birth is the kernel's start time in seconds and microseconds. Raises OSError where nothing can be read.
    """
    buffer = ctypes.create_string_buffer(_BSDINFO.size)
    if _LIBC.proc_pidinfo(pid, _PROC_PIDTBSDINFO, ctypes.c_uint64(0), buffer, _BSDINFO.size) != _BSDINFO.size:
        _raise_unless_gone(ctypes.get_errno())
        return None
    fields = _BSDINFO.unpack(buffer.raw)
    if fields[_STATUS] == _ZOMBIE:
        return None
    try:
        session = os.getsid(pid)
    except OSError as error:
        _raise_unless_gone(error.errno or 0)
        return None
    return Process(pid, fields[_PPID], session, f"{fields[_START_SECONDS]}.{fields[_START_MICROSECONDS]:06}")


def _raise_unless_gone(number: int) -> None:
    if number not in _GONE:
        raise OSError(number, os.strerror(number))


def table() -> list[Process]:
    """Every live process that we may read."""
    # The first call returns how many there are; some may be born before the second.
    pids = (ctypes.c_int * (_LIBC.proc_listallpids(None, 0) + 64))()
    count = _LIBC.proc_listallpids(pids, ctypes.sizeof(pids))
    rows = (read_process(pid) for pid in pids[:count])
    return [row for row in rows if row is not None]


def children(pid: int) -> list[int]:
    """The pids of that process's children, zombies too."""
    pids = (ctypes.c_int * 256)()
    count = _LIBC.proc_listchildpids(pid, pids, ctypes.sizeof(pids))
    return list(pids[: max(0, count)])


def is_older(birth: str, other: str) -> bool:
    """False: there is nothing that need not be asked, since `has_mark` asks nothing."""
    return False


def has_mark(pid: int, mark: bytes) -> bool | None:
    """False: macOS shows no environments. Members are found by session and descent alone."""
    return False


def adopt_orphans() -> None:
    """Nothing: macOS has no child subreaper. Orphans are found by their session."""


def keep_one_heap() -> None:
    """Nothing: macOS returns what threads free."""


def send_signal(pid: int, birth: str, number: int) -> bool:
    """Signal exactly that process; False if it is gone or may not be signalled. Raises as `read_process` does."""
    process = read_process(pid)
    if process is None or process.birth != birth:
        return False
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class EndPoll:
    """Waits for the ends of several processes by a kqueue. Contract: `core.platform.exit_watcher.EndPoll`."""

    def __init__(self) -> None:
        self._births: dict[int, str] = {}
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        try:
            self._queue = select.kqueue()
        except OSError:
            os.close(self._woken)
            os.close(self._wake)
            raise
        self._queue.control([select.kevent(self._woken, select.KQ_FILTER_READ, select.KQ_EV_ADD)], 0)

    def add(self, pid: int, birth: str) -> bool:
        """Wait for that process too; False if it has ended already. Raises OSError as `read_process` does."""
        try:
            self._change(pid, select.KQ_EV_ADD | select.KQ_EV_ONESHOT)
        except ProcessLookupError:
            return False
        # Subscribed before the birth is read: an end in between is then reported as an event.
        self._births[pid] = birth
        process = read_process(pid)
        if process is None or process.birth != birth:
            self.remove(pid, birth)
            return False
        return True

    def remove(self, pid: int, birth: str) -> None:
        """Wait no longer for that process."""
        if self._births.get(pid) == birth:
            del self._births[pid]
            # It may have ended meanwhile.
            with contextlib.suppress(OSError):
                self._change(pid, select.KQ_EV_DELETE)

    def _change(self, pid: int, flags: int) -> None:
        self._queue.control([select.kevent(pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)], 0)

    def wait(self, timeout: float | None) -> list[tuple[int, str]]:
        """Those that have ended; none after `timeout` seconds or `wake`."""
        ended = []
        for event in self._queue.control(None, 64, timeout):
            if event.filter == select.KQ_FILTER_READ:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            elif event.ident in self._births:
                ended.append((event.ident, self._births.pop(event.ident)))
        return ended

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b".")

    def close(self) -> None:
        """Release everything."""
        self._queue.close()
        os.close(self._woken)
        os.close(self._wake)
