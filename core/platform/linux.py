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
_PART_BYTES = 1 << 14
_GONE = (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM, errno.EINVAL)


def _read_boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


_BOOT_ID = _read_boot_id()


def read_process(pid: int) -> Process | None:
    """The live process with that pid, from /proc; None if there is none, it is a zombie, or we may not read it.

    Its birth is the boot id and the start tick (proc(5), `stat` field 22), which no change of the clock moves. Raises
    OSError if no file can be opened, for want of a descriptor or memory.
    """
    try:
        line = _content(f"/proc/{pid}/stat")
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
    """Every live process that we may read. Raises OSError as `read_process` does."""
    rows = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [row for row in rows if row is not None]


def children(pid: int) -> list[int]:
    """The pids of that process's children, zombies too: proc(5), `children`. Some may be missing, or all.

    A child that ends while the file is read may hide another, and a kernel may be built without that file.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, _content(f"/proc/{pid}/task/{thread}/children").split())
    return found


def is_older(birth: str, other: str) -> bool:
    """Whether a process with the one birth is older than one with the other, and so not its descendant.

    False if that cannot be told: they are of one clock tick, of different boots, or not known.
    """
    boot, _, tick = birth.partition(":")
    other_boot, _, other_tick = other.partition(":")
    return boot == other_boot and tick.isdigit() and other_tick.isdigit() and int(tick) < int(other_tick)


def _content(path: str) -> bytes:
    """The whole of a file of /proc. Raises OSError.

    Without Python's file object, which asks the kernel five times more about each of hundreds of files.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _PART_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def has_mark(pid: int, mark: bytes) -> bool | None:
    """Whether that process started with `mark`, a `NAME=value`, in its environment: proc(5), `environ`.

    None if the file is empty, as in the middle of an execve(2). Raises OSError as `read_process` does.
    """
    try:
        environment = _content(f"/proc/{pid}/environ")
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return False
    return mark in environment.split(b"\0") if environment else None


def adopt_orphans() -> None:
    """Make descendants whose parent dies become children of this process: prctl(2), PR_SET_CHILD_SUBREAPER.

    Then their ends are told by SIGCHLD, and `Tree.empty` is cheap while one of them lives.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def keep_one_heap() -> None:
    """Have all threads share one heap: mallopt(3), M_ARENA_MAX. Other C libraries than glibc have no such call.

    Blocks of 1 MiB and more are mapped by themselves (M_MMAP_THRESHOLD), so that freeing them returns the memory. By
    default glibc raises that limit to the largest block that was ever freed, and large blocks then fragment the heap.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def send_signal(pid: int, birth: str, number: int) -> bool:
    """Signal exactly that process; False if it is gone or may not be signalled. Raises OSError as `read_process` does.

    The pidfd is opened first and stands for one process for good, so a pid that is reused meanwhile cannot be hit.
    """
    fd = _open(pid)
    if fd is None:
        return False
    try:
        process = read_process(pid)
        if process is None or process.birth != birth:
            return False
        signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


class EndPoll:
    """Waits for the ends of several processes by their pidfds. Contract: `core.platform.exit_watcher.EndPoll`."""

    def __init__(self) -> None:
        self._fds: dict[tuple[int, str], int] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)

    def add(self, pid: int, birth: str) -> bool:
        """Wait for that process too; False if it has ended already. Raises OSError as `read_process` does."""
        fd = _open(pid)
        if fd is None:
            return False
        try:
            process = read_process(pid)
        except OSError:
            os.close(fd)
            raise
        if process is None or process.birth != birth:
            os.close(fd)
            return False
        self._fds[pid, birth] = fd
        self._poll.register(fd, select.POLLIN)
        return True

    def remove(self, pid: int, birth: str) -> None:
        """Wait no longer for that process."""
        fd = self._fds.pop((pid, birth))
        self._poll.unregister(fd)
        os.close(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, str]]:
        """Those that have ended; none after `timeout` seconds or `wake`."""
        ready = {fd for fd, _ in self._poll.poll(None if timeout is None else timeout * 1000)}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        ended = [process for process, fd in self._fds.items() if fd in ready]
        for process in ended:
            self.remove(*process)
        return ended

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Release everything."""
        for process in list(self._fds):
            self.remove(*process)
        os.close(self._wake)


def _open(pid: int) -> int | None:
    """A pidfd, None if there is no such process: pidfd_open(2)."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None
