"""A live shim and its Ollama: ask it to stop, hear of its end. Never acts on a bare pid.

Blocking work runs in threads; the coroutines belong to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import psutil

from core.errors import StopFailed
from core.heir import SHIM_KILLED, WATCHERS_KILLED, bury
from core.os_error import WAYS_OUT as WAYS_OUT
from core.platform import GUARDED, ExitWatch, ask_shim, end_orphans, has_guard, kill
from core.run_record import RunRecord, read_record, sweep_drafts
from core.state import UNRECORDED, Exit

log = logging.getLogger(__name__)

_STOP_MARGIN_SECONDS = 6.0
_BURIAL_SECONDS = 5.0
_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.25


class Managed:
    """A live shim, spawned or adopted, and its Ollama. Only `spawn` and `adopt` make one."""

    def __init__(self, path: Path, record: RunRecord, grace: float, popen: Popen[bytes] | None = None) -> None:
        self.record = record
        self.grace = grace
        self._path = path
        self._popen = popen
        self._ended = asyncio.Event()

    async def watch(self) -> Exit:
        """Return once the shim has ended and its tree with it. Let one task do this, once."""
        await wait_end(self.record.shim_pid, self.record.shim_birth)
        if self._popen:
            await asyncio.to_thread(self._popen.wait)
        record = await asyncio.to_thread(self._final_record)
        self._ended.set()
        reason = record.reason or (SHIM_KILLED if self._was_killed else UNRECORDED)
        return Exit(record.exit_code, reason, record.ended_at, record.last_lines)

    @property
    def _was_killed(self) -> bool:
        # Of one that is no child of ours the exit code is not known, and nothing but a kill is likely. On Windows the
        # killer chooses the code.
        return self._popen is None or self._popen.returncode < 0 or not GUARDED

    def _final_record(self) -> RunRecord:
        # A killed shim's guard needs a moment to stop the tree and to say so, and ends then.
        deadline = time.monotonic() + _BURIAL_SECONDS
        while self._is_guard_at_work() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        record = self._last_record() or self._bury()
        sweep_drafts(self._path.parent)
        return record

    def _is_guard_at_work(self) -> bool:
        try:
            return self._last_record() is None and has_guard(self.record.shim_pid, self.record.shim_birth)
        except OSError:
            return True

    def _last_record(self) -> RunRecord | None:
        record = read_record(self._path)
        return record if record and record.shim_pid == self.record.shim_pid and record.ended_at else None

    def _bury(self) -> RunRecord:
        """Do what the guard of a killed shim should have done: it was killed too."""
        if GUARDED and self._was_killed:
            with suppress(OSError):
                end_orphans(self.record.shim_pid, self.record.shim_birth)
            log.warning("shim %d and its guard were killed; ended what they had left", self.record.shim_pid)
            bury(str(self._path), self.record.shim_pid, str(Path(self.record.log).parent), WATCHERS_KILLED)
        return self._last_record() or self.record

    async def stop(self) -> None:
        """Ask the shim to stop its tree, and kill the shim if it does not obey: its guard ends the tree then.

        Needs `watch` to be running. Raises StopFailed if the tree outlives even that, or cannot be asked.
        """
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            await asyncio.to_thread(ask_shim, *shim, self.record.stop_event)
            if await self.gone(self.grace + _STOP_MARGIN_SECONDS):
                return
            await asyncio.to_thread(kill, *shim)
        except OSError as error:
            raise StopFailed(
                f"Ollama (pid {self.record.pid}) cannot be asked to end: {error.strerror or error}.",
                action=WAYS_OUT.get(error.errno or 0),
            ) from error
        if not await self.gone(_STOP_MARGIN_SECONDS):
            raise StopFailed(f"Ollama (pid {self.record.pid}) does not end, not even when killed.")

    async def gone(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end that `watch` tells; False if it does not come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout)
        return self._ended.is_set()

    def owns(self, pid: int) -> bool:
        """Whether `pid` is our Ollama or one of its descendants. Reads the process table: call it in a thread."""
        try:
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except (psutil.Error, OSError):
            return False
        return not family.isdisjoint({self.record.pid, self.record.shim_pid})

    def let_go(self) -> None:
        """Leave the shim and its Ollama running, for a later sidecar to adopt."""
        if self._popen and self._popen.returncode is None:
            # Nobody is going to reap it from here, and Popen complains of that when it is collected.
            self._popen.returncode = 0


async def wait_end(pid: int, birth: str) -> None:
    """Return once that process has ended. It need not be a child of ours.

    Looks again until it can, should the sidecar lack the descriptors.
    """
    while True:
        with suppress(OSError):
            return await _wait_end(pid, birth)
        await asyncio.sleep(_RETRY_SECONDS)


async def _wait_end(pid: int, birth: str) -> None:
    gone = ExitWatch(pid, birth)
    waiting = asyncio.create_task(asyncio.to_thread(gone.wait))
    try:
        await asyncio.shield(waiting)
    finally:
        gone.cancel()
        with suppress(OSError):
            await waiting
        gone.close()
