"""Continues the log and the run record of a killed shim, in its guard, until the tree has ended.

How it works: the guard is a fork of the shim, so it holds the same pipes and shares the spools' memory. When the shim
dies, the guard opens the shim's log again, under the same name, and starts pumps on the same pipes, each with the spool
of the dead one: they first write what had been read and not written (`core.shim.spool`), then read on. So no line is
lost and none is written twice. Standard library only, because the guard is a fork of the shim.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from core.logs.segments import Caps
from core.platform.successor import Successor
from core.shim.pump import Pump
from core.shim.record import GUARD_STOPPED_IT, cannot_be_ended, record_killed_shim, record_of, write_record
from core.shim.writer import LogWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from core.logs.redact import Redactor
    from core.shim.record import Pipe

_DRAIN_SECONDS = 0.5


class LogSuccessor(Successor):
    """Writes on in a killed shim's place. Made by the shim before it forks the guard; its methods run in the guard."""

    def __init__(
        self, log: LogWriter, folder: str, caps: Caps, record_path: str, redactor: Redactor, pipes: list[Pipe]
    ) -> None:
        """`log` is the shim's: its name and its count of lost lines are continued. `pipes` are those of the program."""
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
        """Continue the log, from the first line that the shim had not written, while the tree is stopped."""

        def continue_log() -> None:
            with contextlib.suppress(OSError, RuntimeError):
                if record_of(self._record_path, self._shim_pid).get("endedAt"):
                    return
                self._log = log = LogWriter(self._folder, self._caps, stamp=self._stamp, untold=self._untold)
                self._pumps = [Pump(pipe, stream, log, self._redactor, spool) for pipe, stream, spool in self._pipes]
                for pump in self._pumps:
                    pump.start()

        # In a thread: the tree must be stopped even if the disk hangs, or if the system grants no thread.
        opening = threading.Thread(target=continue_log, daemon=True)
        with contextlib.suppress(RuntimeError):
            opening.start()
            self._opening = opening

    def on_unkillable(self, pids: list[int]) -> None:
        """Write these pids to the record and the log, once for each different list."""
        if pids == self._unkillable:
            return
        self._unkillable = pids
        if self._log:
            self._log.note(cannot_be_ended(pids))
        with contextlib.suppress(OSError):
            if record := record_of(self._record_path, self._shim_pid):
                write_record(self._record_path, record | {"unkillable": pids})

    def end(self) -> None:
        """Drain the pipes, close the log and record the end. Takes about 1 s at most."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        if self._opening:
            self._opening.join(_DRAIN_SECONDS)
            if self._opening.is_alive():
                record_killed_shim(self._record_path, self._shim_pid, None, GUARD_STOPPED_IT)
                return
        # A process outside the tree may hold a pipe open for ever, so do not wait for its end.
        for pump in self._pumps:
            pump.join(max(0.0, deadline - time.monotonic()))
        if self._log:
            self._log.note(GUARD_STOPPED_IT)
            self._log.close(_DRAIN_SECONDS)
        record_killed_shim(self._record_path, self._shim_pid, None if self._log else self._folder, GUARD_STOPPED_IT)
