"""The newest state of one unit. systemd's signals say that something has changed, and then the whole state is read.

So a signal that is lost or that tells of a state which is over already does no harm: each start of the unit has an id,
and each restart by systemd is counted. In case all signals are lost, the state is read each 10 s anyhow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from core.owners.systemd.bus import BusTrouble, Refused, connected
from core.owners.systemd.environment import EnvironmentFiles
from core.owners.systemd.unit import Unit, look

_LOOK_SECONDS = 10.0
_RETRY_SECONDS = 1.0


class Watch:
    """The state of one unit, kept while `run` runs. Belongs to one loop."""

    def __init__(self, name: str, files: EnvironmentFiles, *, is_user: bool) -> None:
        self.unit: Unit | None = None
        """As last read; None before the first time."""
        self.trouble: str | None = None
        """Why it cannot be read at present; None if it can."""
        self._name = name
        self._files = files
        self._is_user = is_user
        self._poked = asyncio.Event()
        self._changed = asyncio.Condition()

    def poke(self) -> None:
        """Have the state read again soon."""
        self._poked.set()

    def forget(self) -> None:
        """Have no state until it is read anew: it was not kept for a while."""
        self.unit = self.trouble = None

    def note(self, unit: Unit) -> None:
        """Take that state for the newest: somebody has just read it."""
        self.unit = unit
        self._poked.set()

    async def until(self, fits: Callable[[], bool]) -> None:
        """Return once that is true; it is asked after each change."""
        async with self._changed:
            await self._changed.wait_for(fits)

    async def wait(self, seconds: float) -> None:
        """Return after the next change, or after that many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()

    async def run(self) -> None:
        """Keep the state, until it is cancelled. A connection that ends is made again."""
        while True:
            try:
                await self._follow()
            except (BusTrouble, Refused) as error:
                await self._tell(None, str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        async with connected(is_user=self._is_user) as bus:
            unit = await look(bus, self._name, self._files, is_user=self._is_user)
            await bus.subscribe(unit.path, lambda _: self.poke())
            ended = asyncio.create_task(bus.has_ended())
            ended.add_done_callback(lambda _: self.poke())
            try:
                while not ended.done():
                    self._poked.clear()
                    await self._tell(await look(bus, self._name, self._files, is_user=self._is_user), None)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await self._poked.wait()
            finally:
                ended.cancel()

    async def _tell(self, unit: Unit | None, trouble: str | None) -> None:
        async with self._changed:
            self.unit = unit or self.unit
            self.trouble = trouble
            self._changed.notify_all()
