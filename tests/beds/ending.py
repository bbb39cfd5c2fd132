"""Ask a program that a test started to end, as a person or the system would."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from core import platform
from tests import tied

ASK_DEADLINE = 20.0
HEARD_SECONDS = 5.0
NO_WINDOW = 0x08000000 if sys.platform == "win32" else 0
"""What Popen takes as `creationflags` for a program that has a console, so that it can be asked, and shows none.

https://learn.microsoft.com/en-us/windows/win32/procthread/process-creation-flags
"""


NO_SIGTERM = tied.posix("Windows has no such signal")
"""Marks a test, or a case of one, that asks by SIGTERM."""


def ask_to_end(
    process: subprocess.Popen[bytes] | subprocess.Popen[str], number: signal.Signals = signal.SIGTERM
) -> None:
    """That signal, and on Windows Ctrl-C on its console. Does not wait; one that has ended is left alone."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        # Only a process that leaves its own console can reach another's.
        script = Path(platform.__file__).with_name("windows_console.py")
        command = [sys.executable, "-I", "-S", str(script), str(process.pid)]
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=ASK_DEADLINE, check=False)
    else:
        process.send_signal(number)


def end(
    process: subprocess.Popen[bytes] | subprocess.Popen[str], timeout: float, number: signal.Signals = signal.SIGTERM
) -> int:
    """Ask it, and wait for its end, `timeout` seconds at most; the exit code. Raises `subprocess.TimeoutExpired`."""
    ask_to_end(process, number)
    if tied.ON_WINE:
        # On a busy machine it loses one Ctrl-C in a hundred: sent, seen by its sender, and never heard by the program.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(timeout, HEARD_SECONDS))
        ask_to_end(process, number)
    return process.wait(timeout)
