"""A program on Windows and everything it starts. Contract: `core.platform.Tree`.

How a tree is known: its program is put in a job object before it runs its first instruction, and nothing that it starts
can leave that job. The shim stands outside and holds the job's only handle, so that the kernel ends the tree with it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

from core.platform import _win32api as win32
from core.platform.event import Event
from core.platform.successor import Successor
from core.platform.windows_console import heed_console_stop

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

_OWN = (
    win32.PROCESS_QUERY_LIMITED_INFORMATION
    | win32.PROCESS_SET_QUOTA
    | win32.PROCESS_SUSPEND_RESUME
    | win32.PROCESS_TERMINATE
    | win32.SYNCHRONIZE
)
_REAP_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Tree:
    """One program, spawned here, and everything it starts. For one thread only."""

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
        r"""Spawn `argv`, and create the event `stop_event` (`Local\…`). Raises OSError, with nothing left behind.

        `successor` is never called: the tree of a shim that is killed is ended by the kernel.
        """
        self.exit_code: int | None = None
        self._exit_told = False
        self._asking: subprocess.Popen[bytes] | None = None
        with contextlib.ExitStack() as undo:
            self._stop = undo.enter_context(win32.create_named_event(stop_event))
            self._job = undo.enter_context(win32.create_job())
            self._child = _spawn_suspended(argv, env, cwd, stdout, stderr)
            undo.callback(self._reap)
            self.pid = self._child.pid
            self._process = undo.enter_context(win32.open_process(self.pid, _OWN))
            self.birth = win32.birth_of(self._process)
            win32.assign(self._job, self._process)
            win32.resume(self._process)
            self._undo = undo.pop_all()

    def next_event(self, timeout: float | None) -> Event:
        """Wait at most `timeout` seconds for the program's own end (told once) or a request to stop."""
        awaited = [self._stop] if self._exit_told else [self._process, self._stop]
        index = win32.wait_any(awaited, timeout)
        if index is None:
            return Event.TIMEOUT
        if awaited[index] is self._stop:
            return Event.STOP
        self._exit_told = True
        self.exit_code = self._child.wait()
        return Event.EXITED

    def ask(self) -> None:
        """Ask the program to end, as Ctrl-C on its console would. Call repeatedly: it is asked once.

        Returns at once. Everything on the same console hears it; a member that left it does not. Nothing happens once
        the program itself has ended, or where nobody can be sent to ask.
        """
        if self._asking is not None or win32.has_ended(self._process):
            return
        # It takes only a pid, but while we hold that process no other can have it.
        with contextlib.suppress(OSError):
            self._asking = subprocess.Popen(
                _console_stop_command(self.pid),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )

    def empty(self) -> bool:
        """Whether no process of the tree is alive. The console's own host may outlive the last one for a moment."""
        return win32.active_processes(self._job) == 0

    def kill(self, seconds: float) -> list[int]:
        """End every member; the pids that live on after `seconds`. Returns as soon as there are none."""
        win32.terminate_job(self._job)
        deadline = time.monotonic() + seconds
        while not self.empty() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return sorted(win32.job_pids(self._job))

    def close(self) -> None:
        """Release everything; what still lives in the tree is killed. A second call does nothing."""
        if self._asking is not None:
            self._asking.kill()
            self._asking.wait(_REAP_SECONDS)
        self._undo.close()

    def _reap(self) -> None:
        win32.terminate_job(self._job)
        # Not in the job yet if the spawn failed half-way.
        self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_REAP_SECONDS)


def _spawn_suspended(
    argv: list[str], env: dict[str, str], cwd: str, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    # On a console of its own, without a window. A new process group would make it deaf to Ctrl-C.
    heed_console_stop()
    return subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        creationflags=win32.CREATE_SUSPENDED | subprocess.CREATE_NO_WINDOW,
    )


def _console_stop_command(pid: int) -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, "--console-stop", str(pid)]
    script = os.path.join(os.path.dirname(__file__), "windows_console.py")
    return [sys.executable, "-I", "-S", script, str(pid)]
