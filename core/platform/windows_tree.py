"""A program on Windows and everything it starts. Contract: `core.platform.Tree`.

How the job works: the program is created suspended (CREATE_SUSPENDED), put into a job object, and only then resumed, so
that nothing it starts can be outside the job; the job forbids breakaway. The shim stands outside and holds the job's
only handle. With JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE the kernel ends every process of the job when that handle closes,
also when the shim is killed: so Windows needs no guard. "Job Objects" at learn.microsoft.com has the rules.
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
        r"""Spawn `argv`, and create the event `stop_event` (`Local\…`). Raises OSError; then nothing runs.

        `successor` is never called: the kernel ends the tree of a killed shim.
        """
        self.exit_code: int | None = None
        self._exit_told = False
        self._asking: subprocess.Popen[bytes] | None = None
        with contextlib.ExitStack() as undo:
            self._stop = undo.enter_context(win32.create_named_event(stop_event))
            self._job = undo.enter_context(win32.create_job())
            # On a console of its own, without a window. A new process group would make it deaf to Ctrl-C.
            heed_console_stop()
            self._child = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                creationflags=win32.CREATE_SUSPENDED | subprocess.CREATE_NO_WINDOW,
            )
            undo.callback(self._reap)
            self.pid = self._child.pid
            self._process = undo.enter_context(win32.open_process(self.pid, _OWN))
            self.birth = win32.birth_of(self._process)
            win32.assign(self._job, self._process)
            win32.resume(self._process)
            self._undo = undo.pop_all()

    def next_event(self, timeout: float | None) -> Event:
        """Wait for the program's own end (reported once) or a request to stop; TIMEOUT after `timeout` seconds."""
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
        """Send Ctrl-C to the program's console, once, by a helper process. Call it as often as you like.

        Returns at once. Every process on that console gets it; one that has left the console does not. Nothing happens
        once the program itself has ended, or if the helper cannot be started.
        """
        if self._asking is not None or win32.has_ended(self._process):
            return
        if getattr(sys, "frozen", False):
            command = [sys.executable, "--console-stop", str(self.pid)]
        else:
            script = os.path.join(os.path.dirname(__file__), "windows_console.py")
            command = [sys.executable, "-I", "-S", script, str(self.pid)]
        # The helper gets a bare pid, which is safe: while our handle is open Windows does not reuse it.
        with contextlib.suppress(OSError):
            self._asking = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
            )

    def empty(self) -> bool:
        """Whether no process of the tree is alive. The console host (conhost) may outlive the last one for a moment."""
        return win32.active_processes(self._job) == 0

    def kill(self, seconds: float) -> list[int]:
        """End every member. Returns the pids still alive after `seconds`, or an empty list as soon as none is."""
        win32.terminate_job(self._job)
        deadline = time.monotonic() + seconds
        while not self.empty() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return sorted(win32.job_pids(self._job))

    def close(self) -> None:
        """Release the handles, whereupon the kernel kills what still lives in the tree. A second call does nothing."""
        if self._asking is not None:
            self._asking.kill()
            self._asking.wait(_REAP_SECONDS)
        self._undo.close()

    def _reap(self) -> None:
        win32.terminate_job(self._job)
        # If the constructor failed half-way, the program is not in the job yet.
        self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_REAP_SECONDS)
