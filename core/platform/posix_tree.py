"""Linux and macOS: one spawned program with all that it starts, and the guard that outlives a killed shim.

How the guard works: before the shim spawns its program it forks a guard, which holds the reading end of a pipe, the
lifeline, and blocks in read(2). At an orderly end the shim writes one byte, and the guard exits. If the shim is killed,
even by SIGKILL, the kernel closes the writing end; read(2) returns end-of-file, and the guard stops the tree: SIGTERM,
1 s, SIGKILL. A guard is needed because neither system ends a process tree with its root: PR_SET_PDEATHSIG reaches
children only, and macOS has no such thing. The two watch each other: a guard that is killed is forked again, one that
is stopped is continued. Only when both die at once is nobody left; then a later sidecar calls `end_orphans`.

Which processes belong to the tree: `core.platform.posix_members`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from types import FrameType

from core.platform.event import Event
from core.platform.successor import Successor
from core.platform.table import Process

assert sys.platform != "win32"

from core.platform.posix_members import MARK, Members, mark_of  # noqa: E402 - the type checker stops above on Windows

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

ORPHAN_GRACE_SECONDS = 1.0
_FIRST_POLL_SECONDS = 0.01
_LONGEST_POLL_SECONDS = 0.2
_KILL_SECONDS = 2.0
_OUTLAST_SECONDS = 5.0
_RELEASED = b"."
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MAX_DESCRIPTORS = 1 << 16
_MAX_GUARDS = 10


def _ask(process: Process) -> None:
    # A stopped process acts on SIGTERM only once it is continued.
    kernel.send_signal(process.pid, process.birth, signal.SIGTERM)
    kernel.send_signal(process.pid, process.birth, signal.SIGCONT)


def _run_guard(lifeline: int, session: int, mark: bytes, successor: Successor) -> None:
    """The guard's life: wait until the shim closes the lifeline; if it died, stop the tree with TERM, 1 s, KILL."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Close every other inherited descriptor: the log and the hand-over pipe must end with the shim, not with its guard.
    kept = sorted([lifeline, *successor.descriptors])
    for before, after in zip([-1, *kept], [*kept, _MAX_DESCRIPTORS], strict=True):
        os.closerange(before + 1, after)
    if os.read(lifeline, 1) == _RELEASED:
        return
    successor.begin()
    tree = Members(session, mark, [os.getpid()])
    _ask_all(tree)
    left = _kill(tree, _KILL_SECONDS)
    while left != []:
        # Members that survive SIGKILL keep the guard alive: the run record must not say yet that all has ended.
        if left:
            successor.on_unkillable(left)
        time.sleep(_OUTLAST_SECONDS)
        left = _kill(tree, 0)
    successor.end()


def _ask_all(tree: Members) -> None:
    """Send SIGTERM once to each member, also to one born meanwhile. Returns when all have ended, or after 1 s."""
    asked: set[tuple[int, str]] = set()
    deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
    pause = _FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        # An unreadable process table does not mean that the tree is empty, so go on asking.
        with contextlib.suppress(OSError):
            found = tree.find()
            if not found:
                return
            for process in found:
                if (process.pid, process.birth) not in asked:
                    asked.add((process.pid, process.birth))
                    _ask(process)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def _kill(tree: Members, seconds: float) -> list[int] | None:
    """SIGKILL the tree. Returns the pids alive after `seconds`, None if the process table cannot be read."""
    try:
        return tree.kill(seconds)
    except OSError:
        return None


class Tree:
    """One program, spawned here, and everything it starts. For the main thread of a shim that leads its session."""

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        stdout: int,
        stderr: int,
        stop_event: str,
        successor: Successor,
    ) -> None:
        """Spawn `argv`. Raises OSError, or ValueError if an argument or variable holds a NUL; then nothing runs.

        `successor` is called in the guard, after the shim was killed. `stop_event` is for Windows; here SIGTERM, SIGINT
        or SIGHUP asks for a stop.
        """
        self.exit_code: int | None = None
        self._successor = successor
        self._stop_asked = False
        self._exit_told = False
        self._asked: set[tuple[int, str]] = set()
        self._guards = 0
        self._guard_pid = 0
        own = kernel.read_process(os.getpid())
        self._mark = mark_of(os.getpid(), own.birth if own else "")
        self._members = Members(os.getpid(), self._mark)
        env = {**env, MARK: self._mark.decode().partition("=")[2]}
        if os.getsid(0) != os.getpid():
            os.setsid()
        # Signals wake `next_event` through a pipe, so that none is missed between a check and the wait.
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, self._note_signal)
        kernel.adopt_orphans()
        self._fork_guard()
        try:
            # posix_spawn(3) cannot change the folder, and the shim needs no folder of its own.
            os.chdir(cwd)
            with open(os.devnull, "rb") as null:
                actions = [
                    (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, stdout, 1),
                    (os.POSIX_SPAWN_DUP2, stderr, 2),
                ]
                # Python ignores SIGPIPE and SIGXFSZ; an ignored signal would stay ignored in the child.
                self.pid = os.posix_spawn(
                    argv[0], argv, env, file_actions=actions, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ], setsigmask=[]
                )
        except (OSError, ValueError):
            self.close()
            raise
        process = kernel.read_process(self.pid)
        self.birth = process.birth if process else ""

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
            self._members.spared = {os.getpid(), self._guard_pid}
            return
        try:
            _run_guard(lifeline, session, self._mark, self._successor)
        finally:
            # The guard must never return into the shim's code.
            os._exit(0)

    def next_event(self, timeout: float | None) -> Event:
        """Wait for the program's own end (reported once) or a request to stop; TIMEOUT after `timeout` seconds.

        With a timeout, the end of an adopted orphan ends the wait early, since the tree may be empty then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self._reap() and timeout is not None:
                deadline = 0.0
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

    def _reap(self) -> bool:
        """Reap every child that has ended, and replace a killed guard. Returns whether an adopted orphan had ended."""
        has_orphan_ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return has_orphan_ended
            if pid == 0:
                return has_orphan_ended
            if os.WIFSTOPPED(status):
                if pid == self._guard_pid:
                    # A stopped guard could not act. The bare pid is safe: a child keeps its pid until it is reaped.
                    os.kill(pid, signal.SIGCONT)
            elif pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
            elif pid != self._guard_pid:
                has_orphan_ended = True
            elif self._guards < _MAX_GUARDS:
                os.close(self._lifeline)
                self._fork_guard()

    def ask(self) -> None:
        """Send SIGTERM to the program and, once it has ended, to what it left behind. Each process is asked once.

        Call it repeatedly: a process that cannot be read at the moment is asked by a later call.
        """
        with contextlib.suppress(OSError):
            root = kernel.read_process(self.pid)
            found = [root] if root and root.birth == self.birth else self._members.find()
            for process in found:
                if (process.pid, process.birth) not in self._asked:
                    self._asked.add((process.pid, process.birth))
                    _ask(process)

    def empty(self) -> bool:
        """Whether no process of the tree is alive. Cheap while a child of ours lives, else it reads the whole table."""
        try:
            children = (kernel.read_process(pid) for pid in kernel.children(os.getpid()) if pid != self._guard_pid)
            return not any(children) and not self._members.find()
        except OSError:
            # An unreadable process table does not mean that the tree is empty.
            return False

    def kill(self, seconds: float) -> list[int]:
        """SIGKILL every member, at once and again for `seconds`. Returns the pids that are still alive, if any.

        Returns as soon as none is left. Raises OSError if the process table could not be read.
        """
        return self._members.kill(seconds)

    def close(self) -> None:
        """Have the guard exit without acting. Call when the tree is empty."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._lifeline, _RELEASED)
        os.close(self._lifeline)
