"""Linux and macOS: sessions, signals, and the guard that outlives a killed shim. Contracts: `core.platform`.

How a tree is known: the shim leads a session, so every process in that session, and every descendant of one, is a
member, except the shim and its guard. A wrapper that dies takes none of its children out of the session.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType

from core.platform.event import Event
from core.platform.table import Process

assert sys.platform != "win32"

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

EXECUTABLE_NAMES = ("ollama",)
GUARDED = True
ORPHAN_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.01
_KILL_SECONDS = 2.0
_RELEASED = b"."
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MAX_DESCRIPTORS = 1 << 16
_MAX_GUARDS = 10


def known_executables() -> list[str]:
    """Where installers put Ollama: the Linux script's places, or the macOS app and Homebrew's two prefixes."""
    if sys.platform == "darwin":
        return [
            "/Applications/Ollama.app/Contents/Resources/ollama",
            "/opt/homebrew/bin/ollama",
            "/usr/local/bin/ollama",
        ]
    return ["/usr/local/bin/ollama", "/usr/bin/ollama"]


def birth(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None if no such process lives."""
    process = kernel.look(pid)
    return None if process is None else process.birth


def merged_environment(additions: dict[str, str]) -> dict[str, str]:
    """Our own environment with additions; names are exact."""
    return {**os.environ, **additions}


def kill(pid: int, birth: str) -> bool:
    """SIGKILL exactly that process; False if it is gone already."""
    return kernel.send_signal(pid, birth, signal.SIGKILL)


def stop_console(pid: int) -> int:
    """Windows' way to ask a console program to end; here signals do, and this is no command. Returns exit code 2."""
    return 2


def ask_shim(pid: int, birth: str, stop_event: str) -> bool:
    """SIGTERM a shim, which then stops its tree and ends; False if it is gone already. `stop_event` is Windows' way."""
    return kernel.send_signal(pid, birth, signal.SIGTERM)


def spawn_shim(argv: list[str], cwd: str, output: int) -> subprocess.Popen[bytes]:
    """Start a detached shim, leader of a new session, with stdout and stderr on the descriptor `output`.

    Raises OSError. The caller reaps it, or lets it go by setting `returncode`.
    """
    return subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def make_private_dir(path: str) -> None:
    """Create the folder with its parents; only this user may enter it, also if it was there before."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.chmod(path, 0o700)


def replace_file(source: str, target: str) -> None:
    """Rename over `target`, atomically: rename(2)."""
    os.replace(source, target)


def unlink_file(path: str) -> bool:
    """Delete a file; True also if it was gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class ExitWatch:
    """Blocks one thread until a process that need not be our child has ended."""

    def __init__(self, pid: int, birth: str) -> None:
        self._pid = pid
        self._birth = birth
        self._cancelled, self._cancel = os.pipe()
        os.set_blocking(self._cancel, False)

    def wait(self) -> bool:
        """True once the process has ended (at once if it is not there), False if cancelled."""
        return kernel.wait_end(self._pid, self._birth, self._cancelled)

    def cancel(self) -> None:
        """End the wait. From any thread, any number of times."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._cancel, b".")

    def close(self) -> None:
        """Release the descriptors. No wait may be running."""
        os.close(self._cancelled)
        os.close(self._cancel)


def members(session: int, spared: Iterable[int]) -> list[Process]:
    """The live processes of a session and all descendants of these, without the pids in `spared`."""
    rows = kernel.table()
    inside = {row.pid for row in rows if row.session == session}
    while grown := {row.pid for row in rows if row.ppid in inside} - inside:
        inside |= grown
    return [row for row in rows if row.pid in inside.difference(spared)]


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


def _guard(lifeline: int, session: int, on_orphaned: Callable[[], None]) -> None:
    """Wait until the shim lets go of the lifeline. If it did so by dying, stop the tree: TERM, 1 s, KILL."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Whatever the shim had open (log, pipes, hand-over) must end with the shim, not with its guard.
    os.closerange(0, lifeline)
    os.closerange(lifeline + 1, _MAX_DESCRIPTORS)
    if os.read(lifeline, 1) == _RELEASED:
        return
    spared = (os.getpid(),)
    for process in members(session, spared):
        _ask(process)
    deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
    while members(session, spared) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _kill_all(lambda: members(session, spared))
    on_orphaned()


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
        on_orphaned: Callable[[], None],
    ) -> None:
        """Spawn `argv`. Raises OSError, with nothing left behind.

        `on_orphaned` runs in the guard, after it has stopped the tree of a shim that was killed. `stop_event` is
        Windows' way; here the stop is SIGTERM, SIGINT or SIGHUP.
        """
        self.exit_code: int | None = None
        self._on_orphaned = on_orphaned
        self._stop_asked = False
        self._exit_told = False
        self._asked: set[tuple[int, str]] = set()
        self._guards = 0
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
        self.birth = birth(self.pid) or ""

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
            _guard(lifeline, session, self._on_orphaned)
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
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
            elif pid == self._guard_pid and self._guards < _MAX_GUARDS:
                os.close(self._lifeline)
                self._fork_guard()

    def _members(self) -> list[Process]:
        return members(os.getpid(), (os.getpid(), self._guard_pid))

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
