"""Linux process facts, read from /proc, and pidfds. Used by `posix` only."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import sys

from core.platform.table import Process

assert sys.platform == "linux"

PR_SET_CHILD_SUBREAPER = 36
_M_ARENA_MAX = -8
_M_MMAP_THRESHOLD = -3
_STATE, _PPID, _SESSION, _START = 0, 1, 3, 19
_GONE = (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM, errno.EINVAL)


def _read_boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


_BOOT_ID = _read_boot_id()


def look(pid: int) -> Process | None:
    """The live process with that pid, or None if there is none (a zombie is not alive) or it may not be looked at.

    Raises OSError where nothing can be looked at, for want of a descriptor.

    Birth is the raw start tick with the boot id: proc(5), `stat` field 22, which no clock step moves.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None
    # The command name, in parentheses, may itself hold spaces and parentheses.
    fields = line[line.rindex(b")") + 2 :].split()
    if fields[_STATE] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[_PPID]), int(fields[_SESSION]), f"{_BOOT_ID}:{fields[_START].decode()}")


def table() -> list[Process]:
    """Every live process that may be looked at."""
    rows = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [row for row in rows if row is not None]


def bears(pid: int, mark: bytes) -> bool:
    """Whether that process was given `mark`, a `NAME=value`, in its environment: proc(5), `environ`."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def adopt_orphans() -> None:
    """Make grandchildren whose parent dies become children of this process: prctl(2). A second line of defence."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def keep_one_heap() -> None:
    """Have all threads share one heap: mallopt(3). Other C libraries than glibc have only one, and no such call.

    Blocks of a megabyte stay out of it, and so go back to the system when they are let go of. Else glibc moves the
    limit up to the largest that was ever let go of, and such blocks then lie scattered over the heap.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def send_signal(pid: int, birth: str, number: int) -> bool:
    """Signal exactly that process; False if it is gone or may not be signalled. Raises OSError as `look` does.

    The pidfd closes the gap between the look and the signal: a pid reused in between cannot be hit.
    """
    fd = _open(pid)
    if fd is None:
        return False
    try:
        process = look(pid)
        if process is None or process.birth != birth:
            return False
        signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


def wait_end(pid: int, birth: str, cancelled: int) -> bool:
    """Block until that process has ended (True) or the descriptor `cancelled` becomes readable (False).

    Raises OSError as `look` does.
    """
    fd = _open(pid)
    if fd is None:
        return True
    try:
        process = look(pid)
        if process is None or process.birth != birth:
            return True
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(cancelled, select.POLLIN)
        return any(ready == fd for ready, _ in poll.poll())
    finally:
        os.close(fd)


def _open(pid: int) -> int | None:
    """A pidfd, None if there is no such process: pidfd_open(2)."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None
