"""Linux and macOS: which processes belong to the tree of a shim, and how they are killed.

How members are found: three rules together, because each alone misses some.

1. Session: the shim leads a session (setsid(2)), and children inherit it. This finds the children of a wrapper that has
   died, whose parent is now another process.
2. Descent: every descendant of a member is a member. This finds a process that made a session of its own.
3. Mark: the program starts with `AURA_OLLAMA_TREE=PID-BIRTH` in its environment. This finds a process that made a
   session of its own and whose parent has died. Linux only (proc(5), `environ`); macOS shows no environments. What is
   older than the shim cannot descend from it, and is not asked.

The shim and its guard are in the session too; `spared` leaves them out.
"""

from __future__ import annotations

import signal
import sys
import time

assert sys.platform != "win32"

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from core.platform.table import Process

MARK = "AURA_OLLAMA_TREE"
_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_ORPHAN_SECONDS = 2.0


def mark_of(shim_pid: int, shim_birth: str) -> bytes:
    """The environment entry, `NAME=value`, that every process of that shim's tree inherits."""
    return f"{MARK}={shim_pid}-{shim_birth}".encode()


class Members:
    """The members of one tree. Each call reads the process table anew, but each process's environment only once."""

    def __init__(self, session: int, mark: bytes, spared: Iterable[int] = ()) -> None:
        """`spared` are pids that are never members."""
        self.spared = set(spared)
        self._shim_birth = mark.decode().partition("-")[2]
        self._session = session
        self._mark = mark
        # By (pid, birth), whether the process has the mark: an environment that was read once does not change.
        self._marked: dict[tuple[int, str], bool] = {}

    def find(self) -> list[Process]:
        """The members that are alive. Raises OSError if the process table cannot be read."""
        rows = kernel.table()
        known = {(row.pid, row.birth) for row in rows}
        self._marked = {process: has_mark for process, has_mark in self._marked.items() if process in known}
        inside = _with_descendants(rows, {row.pid for row in rows if row.session == self._session})
        marked = {row.pid for row in rows if row.pid not in inside and self._has_mark(row)}
        inside = _with_descendants(rows, inside | marked)
        return [row for row in rows if row.pid in inside - self.spared]

    def _has_mark(self, row: Process) -> bool:
        # Nearly all processes of a system are older, and each environment takes longer to read than all else of one.
        if kernel.is_older(row.birth, self._shim_birth):
            return False
        process = row.pid, row.birth
        if process not in self._marked:
            has_mark = kernel.has_mark(row.pid, self._mark)
            if has_mark is None:
                # It is in the middle of an execve(2) and shows no environment. The next call reads it again.
                return False
            self._marked[process] = has_mark
        return self._marked[process]

    def kill(self, seconds: float) -> list[int]:
        """SIGKILL every member, repeatedly, because one may fork between the reading of the table and its own end.

        Returns the pids still alive after `seconds`, or an empty list as soon as none is. A table that cannot be read
        is tried again; raises OSError if the last try failed.
        """
        deadline = time.monotonic() + seconds
        pause = _FIRST_POLL_SECONDS
        while True:
            is_last = time.monotonic() >= deadline
            try:
                found = self.find()
                for process in found:
                    kernel.send_signal(process.pid, process.birth, signal.SIGKILL)
            except OSError:
                if is_last:
                    raise
            else:
                if is_last or not found:
                    return sorted(process.pid for process in found)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def _with_descendants(rows: list[Process], inside: set[int]) -> set[int]:
    while grown := {row.pid for row in rows if row.ppid in inside} - inside:
        inside = inside | grown
    return inside


def has_guard(shim_pid: int, shim_birth: str) -> bool:
    """Whether the guard of a shim that has ended still lives. Raises OSError if the process table cannot be read."""
    mark = mark_of(shim_pid, shim_birth)
    # The guard is in the shim's session, and was forked before the mark was put into the program's environment.
    return any(row.session == shim_pid and not kernel.has_mark(row.pid, mark) for row in kernel.table())


def members(shim_pid: int, shim_birth: str) -> list[int]:
    """The pids of a living shim's tree, its guard among them. Raises OSError if that cannot be known."""
    return [row.pid for row in Members(shim_pid, mark_of(shim_pid, shim_birth), [shim_pid]).find()]


def end_orphans(shim_pid: int, shim_birth: str) -> list[int]:
    """SIGKILL what a shim that has ended left behind, its guard included. Returns the pids still alive after 2 s.

    Raises OSError if the process table cannot be read.
    """
    # The kernel gives no new process a pid that is still a session's id. If that pid is in use again, the session has
    # ended, and only the mark can find leftovers.
    session = shim_pid if kernel.read_process(shim_pid) is None else -1
    return Members(session, mark_of(shim_pid, shim_birth)).kill(_ORPHAN_SECONDS)
