"""Linux and macOS: one spawned program with all that it starts, and the guard that outlives a killed shim.

Which processes these are: `core.platform.posix_members`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
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
    """Wait until the shim lets go of the lifeline. If it did so by dying, stop the tree: TERM, 1 s, KILL."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Whatever else the shim had open (log, hand-over) must end with the shim, not with its guard.
    _close_all_but([lifeline, *successor.descriptors])
    if os.read(lifeline, 1) == _RELEASED:
        return
    successor.begin()
    tree = Members(session, mark, [os.getpid()])
    _ask_all(tree)
    left = _kill(tree, _KILL_SECONDS)
    while left != []:
        # The record must not say that all has ended, and nobody else watches any more.
        if left:
            successor.on_unkillable(left)
        time.sleep(_OUTLAST_SECONDS)
        left = _kill(tree, 0)
    successor.end()


def _ask_all(tree: Members) -> None:
    """Ask the members to end, and give them a moment for it. Each one is asked once."""
    asked: set[tuple[int, str]] = set()
    deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
    pause = _FIRST_POLL_SECONDS
    while time.monotonic() < deadline:
        # That they cannot be looked up does not mean that there are none.
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
    """The pids that live on; None if that cannot be known."""
    try:
        return tree.kill(seconds)
    except OSError:
        return None


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
        successor: Successor,
    ) -> None:
        """Spawn `argv`. Raises OSError, or ValueError for a text that no process can be given; nothing is left then.

        `successor` is called in the guard of a shim that was killed. `stop_event` is Windows' way; here the stop is
        SIGTERM, SIGINT or SIGHUP.
        """
        self.exit_code: int | None = None
        self._heir = successor
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
        self._listen_to_signals()
        kernel.adopt_orphans()
        self._fork_guard()
        try:
            self.pid = self._spawn(argv, env, cwd, stdout, stderr)
        except (OSError, ValueError):
            self.close()
            raise
        process = kernel.read_process(self.pid)
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
            self._members.spared = {os.getpid(), self._guard_pid}
            return
        try:
            _run_guard(lifeline, session, self._mark, self._heir)
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
        """Wait at most `timeout` seconds for the program's own end (told once) or a request to stop.

        With a timeout, the end of another child of ours ends the wait early.
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
        """Whether an orphan that had come to us has ended."""
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
                    # A guard that is stopped guards nothing. It is our child and not reaped, so the pid is its own.
                    os.kill(pid, signal.SIGCONT)
            elif pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
            elif pid != self._guard_pid:
                has_orphan_ended = True
            elif self._guards < _MAX_GUARDS:
                os.close(self._lifeline)
                self._fork_guard()

    def ask(self) -> None:
        """Ask the program to end; once it has, ask what it left behind. Call repeatedly: each one is asked once.

        What cannot be looked up at the moment is asked by a later call.
        """
        with contextlib.suppress(OSError):
            root = kernel.read_process(self.pid)
            found = [root] if root and root.birth == self.birth else self._members.find()
            for process in found:
                if (process.pid, process.birth) not in self._asked:
                    self._asked.add((process.pid, process.birth))
                    _ask(process)

    def empty(self) -> bool:
        """Whether no process of the tree is alive. While one of our children lives, looking is cheap."""
        try:
            children = (kernel.read_process(pid) for pid in kernel.children(os.getpid()) if pid != self._guard_pid)
            return not any(children) and not self._members.find()
        except OSError:
            # That nothing can be looked up does not mean that there is nothing.
            return False

    def kill(self, seconds: float) -> list[int]:
        """SIGKILL every member; the pids that live on after `seconds`. Returns as soon as there are none.

        Raises OSError if that cannot be known.
        """
        return self._members.kill(seconds)

    def close(self) -> None:
        """Let the guard go. Call when the tree is empty."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._lifeline, _RELEASED)
        os.close(self._lifeline)
