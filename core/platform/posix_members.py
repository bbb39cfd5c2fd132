"""Linux and macOS: which processes belong to the tree of a shim, and how they are killed.

The shim leads a session, so every process in that session, and every descendant of one, is a member, except the shim
and its guard. A wrapper that dies takes none of its children out of the session. One that makes a session of its own
and loses its parent is known by a mark in the environment it has inherited.
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
    """The entry that every process of that shim's tree finds in its environment."""
    return f"{MARK}={shim_pid}-{shim_birth}".encode()


class Members:
    """The members of one tree, looked up again and again. Each process's environment is read once in its life."""

    def __init__(self, session: int, mark: bytes, spared: Iterable[int] = ()) -> None:
        """`spared` are pids that are no members, whatever else they are."""
        self.spared = set(spared)
        self._session = session
        self._mark = mark
        self._bears: dict[tuple[int, str], bool] = {}

    def find(self) -> list[Process]:
        """Those that live. Reads the whole process table; raises OSError if that cannot be read."""
        rows = kernel.table()
        known = {(row.pid, row.birth) for row in rows}
        self._bears = {process: has_mark for process, has_mark in self._bears.items() if process in known}
        inside = _with_descendants(rows, {row.pid for row in rows if row.session == self._session})
        marked = {row.pid for row in rows if row.pid not in inside and self._has_mark(row)}
        inside = _with_descendants(rows, inside | marked)
        return [row for row in rows if row.pid in inside - self.spared]

    def _has_mark(self, row: Process) -> bool:
        process = row.pid, row.birth
        if process not in self._bears:
            has_mark = kernel.has_mark(row.pid, self._mark)
            if has_mark is None:
                # It shows no environment at this moment: look again next time.
                return False
            self._bears[process] = has_mark
        return self._bears[process]

    def kill(self, seconds: float) -> list[int]:
        """SIGKILL all, again and again, since a member may fork between a look and its end.

        Returns the pids that live on after `seconds`, as soon as there are none. Members that cannot be looked up at
        all are no reason to stop; OSError is raised at the end if they never could.
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
    """Whether the guard of a shim that has ended still lives. Raises OSError if that cannot be known."""
    mark = mark_of(shim_pid, shim_birth)
    return any(row.session == shim_pid and not kernel.has_mark(row.pid, mark) for row in kernel.table())


def members(shim_pid: int, shim_birth: str) -> list[int]:
    """The pids of a living shim's tree, its guard among them. Raises OSError if that cannot be known."""
    return [row.pid for row in Members(shim_pid, mark_of(shim_pid, shim_birth), [shim_pid]).find()]


def end_orphans(shim_pid: int, shim_birth: str) -> list[int]:
    """SIGKILL what a shim that has ended left behind, its guard too; the pids that live on after 2 s.

    Raises OSError if that cannot be known.
    """
    # A pid stays taken while a session bears it; should it be somebody's again, then no such session is left.
    session = shim_pid if kernel.read_process(shim_pid) is None else -1
    return Members(session, mark_of(shim_pid, shim_birth)).kill(_ORPHAN_SECONDS)
