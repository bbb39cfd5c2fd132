"""Linux and macOS: one spawned program with all that it starts, and the guard that outlives a killed shim.

How a tree is known: the shim leads a session, so every process in that session, and every descendant of one, is a
member, except the shim and its guard. A wrapper that dies takes none of its children out of the session. One that makes
a session of its own and loses its parent is known by a mark in the environment it has inherited.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from core.platform.event import Event
from core.platform.heir import Heir
from core.platform.table import Process

assert sys.platform != "win32"

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

ORPHAN_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.01
_KILL_SECONDS = 2.0
_RELEASED = b"."
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MAX_DESCRIPTORS = 1 << 16
_MAX_GUARDS = 10
_MARK = "AURA_OLLAMA_TREE"


def members(session: int, mark: bytes, spared: Iterable[int]) -> list[Process]:
    """The live processes of a session or with a mark, and all descendants of these, without the pids in `spared`."""
    rows = kernel.table()
    inside = {row.pid for row in rows if row.session == session or kernel.bears(row.pid, mark)}
    while grown := {row.pid for row in rows if row.ppid in inside} - inside:
        inside |= grown
    return [row for row in rows if row.pid in inside.difference(spared)]


def mark_of(shim_pid: int, shim_birth: str) -> bytes:
    """The entry that every process of that shim's tree finds in its environment."""
    return f"{_MARK}={shim_pid}-{shim_birth}".encode()


def has_guard(shim_pid: int, shim_birth: str) -> bool:
    """Whether the guard of a shim that has ended still lives."""
    mark = mark_of(shim_pid, shim_birth)
    return any(row.session == shim_pid and not kernel.bears(row.pid, mark) for row in kernel.table())


def end_orphans(shim_pid: int, shim_birth: str) -> None:
    """SIGKILL what a shim that has ended left behind, its guard too."""
    # A pid stays taken while a session bears it; should it be somebody's again, then no such session is left.
    session = shim_pid if kernel.look(shim_pid) is None else -1
    mark = mark_of(shim_pid, shim_birth)
    _kill_all(lambda: members(session, mark, ()))


def _kill_all(find: Callable[[], list[Process]]) -> None:
    """SIGKILL what `find` returns until it returns nothing, since a member may fork between a look and its end."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := find()) and time.monotonic() < deadline:
        for process in found:
            kernel.send_signal(process.pid, process.birth, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _ask(process: Process) -> None:
    # A stopped process acts on SIGTERM only once it is continued.
    kernel.send_signal(process.pid, process.birth, signal.SIGTERM)
    kernel.send_signal(process.pid, process.birth, signal.SIGCONT)


def _guard(lifeline: int, session: int, mark: bytes, heir: Heir) -> None:
    """Wait until the shim lets go of the lifeline. If it did so by dying, stop the tree: TERM, 1 s, KILL."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Whatever else the shim had open (log, hand-over) must end with the shim, not with its guard.
    _close_all_but([lifeline, *heir.descriptors])
    if os.read(lifeline, 1) == _RELEASED:
        return
    heir.begin()
    spared = (os.getpid(),)
    for process in members(session, mark, spared):
        _ask(process)
    deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
    while members(session, mark, spared) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _kill_all(lambda: members(session, mark, spared))
    heir.end()


def _close_all_but(kept: Sequence[int]) -> None:
    ends = sorted(kept)
    for before, after in zip([-1, *ends], [*ends, _MAX_DESCRIPTORS], strict=True):
        os.closerange(before + 1, after)


class Tree:
    """One program, spawned here, and everything it starts. Needs the main thread of a shim that leads its session."""

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        stdout: int,
        stderr: int,
        stop_event: str,
        heir: Heir,
    ) -> None:
        """Spawn `argv`. Raises OSError, with nothing left behind.

        `heir` is called in the guard of a shim that was killed. `stop_event` is Windows' way; here the stop is
        SIGTERM, SIGINT or SIGHUP.
        """
        self.exit_code: int | None = None
        self._heir = heir
        self._stop_asked = False
        self._exit_told = False
        self._asked: set[tuple[int, str]] = set()
        self._guards = 0
        own = kernel.look(os.getpid())
        self._mark = mark_of(os.getpid(), own.birth if own else "")
        env = {**env, _MARK: self._mark.decode().partition("=")[2]}
        if os.getsid(0) != os.getpid():
            os.setsid()
        self._listen_to_signals()
        kernel.adopt_orphans()
        self._fork_guard()
        try:
            self.pid = self._spawn(argv, env, cwd, stdout, stderr)
        except OSError:
            self.close()
            raise
        process = kernel.look(self.pid)
        self.birth = process.birth if process else ""

    def _listen_to_signals(self) -> None:
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stop_asked = True

    def _fork_guard(self) -> None:
        lifeline, self._lifeline = os.pipe()
        session = os.getpid()
        self._guards += 1
        self._guard_pid = os.fork()
        if self._guard_pid:
            os.close(lifeline)
            return
        try:
            _guard(lifeline, session, self._mark, self._heir)
        finally:
            os._exit(0)

    def _spawn(self, argv: list[str], env: dict[str, str], cwd: str, stdout: int, stderr: int) -> int:
        # posix_spawn cannot change the folder. The shim has no use for one of its own.
        os.chdir(cwd)
        with open(os.devnull, "rb") as null:
            actions = [
                (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, stderr, 2),
            ]
            # Python ignores SIGPIPE and SIGXFSZ; an ignored signal would stay ignored in the child.
            return os.posix_spawn(
                argv[0], argv, env, file_actions=actions, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ], setsigmask=[]
            )

    def next_event(self, timeout: float | None) -> Event:
        """Wait at most `timeout` seconds for the program's own end (told once) or a request to stop."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._reap()
            if self.exit_code is not None and not self._exit_told:
                self._exit_told = True
                return Event.EXITED
            if self._stop_asked:
                self._stop_asked = False
                return Event.STOP
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._wake], [], [], left)[0]:
                return Event.TIMEOUT
            os.read(self._wake, 512)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                if pid == self._guard_pid:
                    # A guard that is stopped guards nothing. It is our child and not reaped, so the pid is its own.
                    os.kill(pid, signal.SIGCONT)
            elif pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
            elif pid == self._guard_pid and self._guards < _MAX_GUARDS:
                os.close(self._lifeline)
                self._fork_guard()

    def _members(self) -> list[Process]:
        return members(os.getpid(), self._mark, (os.getpid(), self._guard_pid))

    def ask(self) -> None:
        """Ask the program to end; once it has, ask what it left behind. Call repeatedly: each one is asked once."""
        found = self._members()
        root = [process for process in found if process.pid == self.pid]
        for process in root or found:
            if (process.pid, process.birth) not in self._asked:
                self._asked.add((process.pid, process.birth))
                _ask(process)

    def empty(self) -> bool:
        """Whether no process of the tree is alive."""
        return not self._members()

    def kill(self) -> None:
        """SIGKILL every member, until none is left or 2 s have passed."""
        _kill_all(self._members)

    def close(self) -> None:
        """Let the guard go. Call when the tree is empty."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._lifeline, _RELEASED)
        os.close(self._lifeline)
