"""A unit that is up, for one start of it. Contract: `core.owners.protocol.Running`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.errors import StopFailed
from core.owners.alike import seen_end, set_within
from core.owners.exit import Exit
from core.owners.logs import Logs
from core.owners.systemd.unit import Unit
from core.owners.systemd.watch import Watch
from core.platform import birth
from core.platform.control_group import members


class Service:
    """One start of a unit. Made by `owner.SystemdOwner` alone; belongs to the loop."""

    def __init__(
        self, unit: Unit, instance: str, url: str, logs: Logs, watch: Watch, stop: Callable[[], Awaitable[None]]
    ) -> None:
        """`unit` is up. `url` is where it is wanted. `stop` has systemd stop it."""
        self.instance = instance
        self.url = unit.url(url)
        self.logs = logs
        self.is_watched = False
        """Whether somebody waits for its end."""
        self._unit = unit
        self._watch = watch
        self._stop = stop
        self._has_ended = asyncio.Event()
        # None if it could not be read; then only systemd says whether it lives.
        self._birth: str | None = None
        with suppress(OSError):
            self._birth = birth(unit.main_pid)

    @property
    def owner(self) -> str:
        """Contract: `Running.owner`."""
        return self._unit.text

    @property
    def invocation(self) -> str:
        """The id of this start."""
        return self._unit.invocation

    @property
    def is_lasting(self) -> bool:
        """Contract: `Running.is_lasting`."""
        return True

    @property
    def pid(self) -> int:
        """Contract: `Running.pid`."""
        return self._unit.main_pid

    @property
    def log(self) -> None:
        """Contract: `Running.log`. It begins in the journal, and is copied a moment later."""
        return

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        return self._unit.how_to_move(url)

    async def lives(self) -> bool:
        """Contract: `Running.lives`."""
        if self._birth is None:
            return not self._is_over()
        try:
            is_alive = await asyncio.to_thread(birth, self.pid) == self._birth
        except OSError:
            return True
        if not is_alive:
            # Should systemd not say so, it is to be told why not.
            self._watch.poke()
        return is_alive

    async def died(self) -> None:
        """Contract: `Running.died`."""
        await seen_end(self.pid, self._birth)

    async def ended(self, on_unkillable: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Contract: `Running.ended`. systemd says so, by a signal; what of it cannot be killed, systemd waits for."""
        self.is_watched = True
        await self._watch.until(self._is_over)
        self._has_ended.set()
        assert self._watch.unit  # noqa: S101 - `_is_over` has seen it
        return self._watch.unit.how_it_ended(self._unit.invocation, self._unit.restarts)

    def _is_over(self) -> bool:
        now = self._watch.unit
        if now is None:
            return False
        return now.invocation != self._unit.invocation or not (now.is_up or now.is_ending)

    async def stop(self) -> None:
        """Contract: `Running.stop`. By systemd, with the unit's own `TimeoutStopSec`."""
        await self._stop()
        if not await self.gone_within(5.0):
            raise StopFailed(f"systemd says that {self._unit.name} is stopped, but it is up.")

    async def gone_within(self, timeout: float) -> bool:
        """Contract: `Running.gone_within`."""
        return await set_within(self._has_ended, timeout)

    def owns(self, pid: int) -> bool:
        """Contract: `Running.owns`. By the control group of the unit."""
        return pid in self.usage()

    def usage(self) -> tuple[int, ...]:
        """Contract: `Running.usage`."""
        return members(self._unit.control_group) if not self._has_ended.is_set() else ()

    async def reading(self) -> None:
        """Contract: `Running.reading`. Its processes can be seen."""

    def let_go(self) -> None:
        """Contract: `Running.let_go`. Nothing ties it to us."""
