"""A live shim and its Ollama, as `process_owner` runs it: asks it to stop, waits for its end. Never acts on a bare pid.

Blocking work runs in threads, with a deadline where a disk may hang; the coroutines belong to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import psutil

from core.errors import WAYS_OUT as WAYS_OUT
from core.errors import StopFailed
from core.owners.alike import family, set_within
from core.owners.exit import Exit
from core.owners.logs import FolderLogs
from core.owners.run_record import RunRecord
from core.owners.tree_end import TreeEnd, cannot_be_ended, wait_end
from core.platform import ask_shim, birth, kill
from core.settings.owner import PROCESS

_STOP_MARGIN_SECONDS = 6.0
_CHECK_SECONDS = 0.5


class Managed:
    """A live shim, started by us or adopted, and its Ollama. Only `shim_start` and `adopt` make one.

    Contract: `protocol.Running`. `record` is what the shim wrote when it started; `grace` is how many seconds Ollama
    has to end after it was asked.
    """

    def __init__(self, path: Path, record: RunRecord, grace: float, popen: Popen[bytes] | None = None) -> None:
        self.record = record
        self.grace = grace
        self._popen = popen
        self._end = TreeEnd(path, record, popen)
        self._has_ended = asyncio.Event()

    @property
    def instance(self) -> str:
        """Contract: `Running.instance`."""
        return self.record.instance

    @property
    def owner(self) -> str:
        """Contract: `Running.owner`."""
        return PROCESS

    @property
    def is_lasting(self) -> bool:
        """Contract: `Running.is_lasting`."""
        return False

    @property
    def url(self) -> str:
        """Contract: `Running.url`."""
        return self.record.url

    @property
    def pid(self) -> int:
        """Contract: `Running.pid`."""
        return self.record.pid

    @property
    def logs(self) -> FolderLogs:
        """Contract: `Running.logs`."""
        return FolderLogs(Path(self.record.log).parent)

    @property
    def log(self) -> str:
        """Contract: `Running.log`."""
        return self.record.log

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        return "Stop it when its work is done; the next start uses the new address."

    async def lives(self) -> bool:
        """Contract: `Running.lives`."""
        try:
            return await asyncio.to_thread(birth, self.record.pid) == self.record.birth
        except OSError:
            return True

    async def died(self) -> None:
        """Contract: `Running.died`."""
        await wait_end(self.record.pid, self.record.birth)

    async def ended(self, on_unkillable: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Contract: `Running.ended`. `tree_end` tells how the end is found out.

        A shim that cannot end, because the disk of its record hangs, is not waited for once its tree has ended. It
        stays until the disk answers.
        """
        exit = await self._end.wait(on_unkillable)
        self._has_ended.set()
        return exit

    async def stop(self) -> None:
        """Ask the shim to stop its tree; if it does not obey, kill the shim, and its guard ends the tree.

        Needs a task that awaits `ended`. Raises StopFailed if the tree cannot be asked, or outlives even a kill: then
        the shim or guard that owns the tree stays, and `ended` returns when its end comes.
        """
        shim = self.record.shim_pid, self.record.shim_birth
        try:
            await asyncio.to_thread(ask_shim, *shim, self.record.stop_event)
            if await self.gone_within(self.grace + _STOP_MARGIN_SECONDS):
                return
            await asyncio.to_thread(kill, *shim)
        except OSError as error:
            raise StopFailed(
                f"Ollama (pid {self.record.pid}) cannot be asked to end: {error.strerror or error}.",
                action=WAYS_OUT.get(error.errno or 0),
            ) from error
        if not await self.gone_within(_STOP_MARGIN_SECONDS):
            raise StopFailed(f"Ollama (pid {self.record.pid}) does not end, not even when killed.")

    async def gone_within(self, timeout: float) -> bool:
        """Contract: `Running.gone_within`."""
        deadline = time.monotonic() + timeout
        while not await self.gone(min(_CHECK_SECONDS, max(0.0, deadline - time.monotonic()))):
            if left := await self._end.unkillable():
                raise await cannot_be_ended(left)
            if time.monotonic() >= deadline:
                return False
        return True

    async def gone(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for `ended` to return; False if it does not."""
        return await set_within(self._has_ended, timeout)

    def owns(self, pid: int) -> bool:
        """Whether `pid` is our Ollama or one of its descendants. Reads the process table: call it in a thread."""
        try:
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except (psutil.Error, OSError):
            return False
        return not family.isdisjoint({self.record.pid, self.record.shim_pid})

    def usage(self) -> tuple[int, ...]:
        """Contract: `Running.usage`."""
        return family(self.record.pid, self.record.birth)

    async def reading(self) -> None:
        """Contract: `Running.reading`. Its processes can be seen."""

    def let_go(self) -> None:
        """Leave the shim and its Ollama running, for a later sidecar to adopt."""
        if self._popen and self._popen.returncode is None:
            # Nobody is going to reap it from here, and Popen warns of that when it is collected.
            self._popen.returncode = 0
