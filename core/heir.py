"""What is done in place of a shim that was killed: carry its log on, and say in its record how its run ended.

The standard library only, for the guard is a fork of the shim.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time

from core import private_file
from core.logs import append_line
from core.platform.heir import Heir
from core.pump import LogWriter, Pump
from core.segments import Caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from core.redact import Redactor
    from core.spool import Spool

    Record = dict[str, Any]
    Pipe = tuple[int, Literal["OUT", "ERR"], Spool]

SHIM_KILLED = "shim killed"
GUARD_STOPPED_IT = "The shim was killed; its guard stopped Ollama and everything it had started."
WATCHERS_KILLED = "The shim and its guard were killed; the sidecar ended what they had left of Ollama."
_DRAIN_SECONDS = 0.5
_READ_SECONDS = 1.0
_POLL_SECONDS = 0.05


def now() -> str:
    """The time for a run record."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def cannot_be_ended(pids: list[int]) -> str:
    """What the log says of members of a tree that live on though they were killed."""
    who = ", ".join(map(str, pids))
    return f"Not even a kill ends pid {who}: another user's, or waiting for a driver or a disk. Its end is waited for."


def write_record(path: str, record: Record) -> None:
    """Write the run record atomically. Raises OSError, with the old one left as it was."""
    private_file.write(path, json.dumps(record, indent=1))


def bury(record_path: str, shim_pid: int, log_folder: str | None, words: str) -> None:
    """In place of a killed shim, once its tree has ended: say how in its record, and in these words in the newest log.

    A record that is an earlier shim's stays as it is. Without a folder nothing is said in a log. Nothing is said at all
    if the shim had told the end itself.
    """
    record = _record_of(record_path, shim_pid)
    if record.get("endedAt"):
        return
    with contextlib.suppress(OSError):
        if log_folder:
            append_line(log_folder, "SYS", words)
    with contextlib.suppress(OSError):
        if record:
            write_record(
                record_path, record | {"exitCode": None, "endedAt": now(), "reason": SHIM_KILLED, "unkillable": []}
            )


def _record_of(path: str, shim_pid: int) -> Record:
    """What that shim has recorded; empty if nothing, or if it cannot be read for a second."""
    deadline = time.monotonic() + _READ_SECONDS
    while True:
        try:
            record: Record = json.loads(private_file.read(path))
        except (FileNotFoundError, ValueError):
            return {}
        except OSError:
            if time.monotonic() >= deadline:
                return {}
            time.sleep(_POLL_SECONDS)
        else:
            return record if record.get("shimPid") == shim_pid else {}


class LogHeir(Heir):
    """Takes the place of a shim that is killed, in its guard. Made by the shim, before it starts its program."""

    def __init__(
        self, log: LogWriter, folder: str, caps: Caps, record_path: str, redactor: Redactor, pipes: list[Pipe]
    ) -> None:
        super().__init__([descriptor for descriptor, _, _ in pipes])
        self._stamp = log.stamp
        self._untold = log.untold
        self._folder = folder
        self._caps = caps
        self._record_path = record_path
        self._redactor = redactor
        self._pipes = pipes
        self._shim_pid = os.getpid()
        self._unkillable: list[int] = []
        self._opening: threading.Thread | None = None
        self._log: LogWriter | None = None
        self._pumps: list[Pump] = []

    def begin(self) -> None:
        """Carry the log on, from the first line that the shim had not written, while the tree is stopped."""
        # Neither a disk that hangs nor a system that grants no thread may keep the tree alive.
        opening = threading.Thread(target=self._carry_on, daemon=True)
        with contextlib.suppress(RuntimeError):
            opening.start()
            self._opening = opening

    def _carry_on(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if _record_of(self._record_path, self._shim_pid).get("endedAt"):
                return
            self._log = log = LogWriter(self._folder, self._caps, stamp=self._stamp, untold=self._untold)
            self._pumps = [Pump(pipe, stream, log, self._redactor, spool) for pipe, stream, spool in self._pipes]
            for pump in self._pumps:
                pump.start()

    def outlasted_by(self, pids: list[int]) -> None:
        """Say in the record and in the log that these cannot be ended, once for each list of them."""
        if pids == self._unkillable:
            return
        self._unkillable = pids
        if self._log:
            self._log.note(cannot_be_ended(pids))
        with contextlib.suppress(OSError):
            if record := _record_of(self._record_path, self._shim_pid):
                write_record(self._record_path, record | {"unkillable": pids})

    def end(self) -> None:
        """Say how the run ended, now that the tree has."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        if self._opening:
            self._opening.join(_DRAIN_SECONDS)
            if self._opening.is_alive():
                bury(self._record_path, self._shim_pid, None, GUARD_STOPPED_IT)
                return
        # A process outside the tree may still hold a pipe.
        for pump in self._pumps:
            pump.join(max(0.0, deadline - time.monotonic()))
        if self._log:
            self._log.note(GUARD_STOPPED_IT)
            self._log.close(_DRAIN_SECONDS)
        bury(self._record_path, self._shim_pid, None if self._log else self._folder, GUARD_STOPPED_IT)
