"""One run of a service, from its start to its end. Contract: `protocol.Running`. Belongs to the supervisor's loop.

A run is known by its pid and birth. On Windows the birth of another account's process may be unreadable; then the
manager is asked each second whether the run goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import psutil

from core.errors import StopFailed
from core.owners.alike import family, set_within
from core.owners.exit import Exit, Sequel
from core.owners.logs import Logs
from core.owners.services.manager import Manager, Seen, in_words
from core.owners.tree_end import wait_end
from core.platform import birth
from core.shim.record import STOPPED
from core.threads.single_flight import within

_ASK_AGAIN_SECONDS = 1.0
_SETTLE_SECONDS = 5.0
"""How long the manager may take to see an end that we have seen."""
_SETTLE_POLL_SECONDS = 0.1
_STOP_MARGIN_SECONDS = 5.0


class ServiceRun:
    """The run with that pid. `born` is its birth, None if we may not read it."""

    def __init__(self, manager: Manager, seen: Seen, born: str | None, instance: str, owner: str, logs: Logs) -> None:
        self.pid = seen.pid or 0
        self.url = manager.url()
        self.instance = instance
        self.owner = owner
        self.logs = logs
        self.log: str | None = None
        self.is_lasting = True
        self.sequel: Sequel | None = None
        self._manager = manager
        self._birth = born
        self._is_stopping = False
        self._has_ended = asyncio.Event()
        self.process_ended = asyncio.Event()
        """Set as soon as its process has ended, before its manager says what comes next."""

    @property
    def known(self) -> tuple[int, str | None]:
        """What tells this run from any other."""
        return self.pid, self._birth

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        return self._manager.how_to_move(url)

    async def lives(self) -> bool:
        """Contract: `Running.lives`."""
        if self._has_ended.is_set():
            return False
        try:
            if self._birth is not None:
                return await asyncio.to_thread(birth, self.pid) == self._birth
            return (await self._look()).pid == self.pid
        except OSError:
            return True

    async def died(self) -> None:
        """Contract: `Running.died`."""
        await self.process_ended.wait()

    async def ended(self, on_unkillable: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Contract: `Running.ended`. What its main process leaves, its manager ends."""
        if self._birth is not None:
            await wait_end(self.pid, self._birth)
        else:
            # No event of a process that we may not open reaches us.
            while await self.lives():  # noqa: ASYNC110
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
        self.process_ended.set()
        exit = await self._outcome()
        self.sequel = exit.sequel
        self._has_ended.set()
        return exit

    async def _outcome(self) -> Exit:
        """How it ended and what its manager does next, as soon as the manager knows of the end."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                seen = await self._look()
            except OSError as error:
                if time.monotonic() < deadline:
                    await asyncio.sleep(_SETTLE_POLL_SECONDS)
                    continue
                reason = STOPPED if self._is_stopping else f"ended, and how is not known: {in_words(error)[0]}"
                return Exit(None, reason, None, (), Sequel.STOPPED)
            if seen.pid != self.pid or time.monotonic() >= deadline:
                return self._exit(seen)
            await asyncio.sleep(_SETTLE_POLL_SECONDS)

    def _exit(self, seen: Seen) -> Exit:
        if self._is_stopping:
            return Exit(seen.code, STOPPED, None)
        if seen.is_down:
            return Exit(seen.code, "was stopped by its service manager", None, (), Sequel.STOPPED)
        if seen.pid is not None or seen.will_restart:
            # Of a run that followed already, the manager's code is of this one still.
            return Exit(seen.code, "ended, and its service manager starts it again", None, (), Sequel.RESTARTED)
        reason = "exited" if seen.code is not None else f"ended: {self._manager.name} {seen.words}"
        return Exit(seen.code, reason, None, (), Sequel.LEFT)

    async def stop(self) -> None:
        """Contract: `Running.stop`. By its manager, whose own grace period counts."""
        self._is_stopping = True
        try:
            await within(self._manager.seconds, self._manager.name, self._manager.stop)
        except OSError as error:
            self._is_stopping = await self.gone_within(0)
            if not self._is_stopping:
                message, action = in_words(error)
                raise StopFailed(f"Ollama (pid {self.pid}) was not stopped: {message}", action=action) from error
        if not await self.gone_within(_STOP_MARGIN_SECONDS):
            self._is_stopping = False
            raise StopFailed(f"Ollama (pid {self.pid}) does not end, although {self._manager.name} was told to.")

    async def gone_within(self, timeout: float) -> bool:
        """Contract: `Running.gone_within`."""
        return await set_within(self._has_ended, timeout)

    def owns(self, pid: int) -> bool:
        """Contract: `Running.owns`. A service may run Ollama through a wrapper of any kind."""
        try:
            return self.pid in {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        except (psutil.Error, OSError):
            return False

    def usage(self) -> Sequence[int]:
        """Contract: `Running.usage`."""
        return family(self.pid, self._birth)

    async def reading(self) -> None:
        """Contract: `Running.reading`. Its processes can be seen."""

    def let_go(self) -> None:
        """Contract: `Running.let_go`. Nothing holds it."""

    async def _look(self) -> Seen:
        return await within(self._manager.seconds, self._manager.name, self._manager.look)
