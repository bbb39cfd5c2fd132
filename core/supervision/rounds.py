"""What is looked at while nobody asks: as little as keeps the icon true, since Ollama's log belongs to its user.

The end of a process is an event, for which nothing is asked. What is left are rounds:

- An Ollama that is up is asked for its version each 5 s, so that one that hangs is noticed.
- While nobody listens on loopback the port is tried by a bare connect each second, which leaves no trace.
- What is installed and loaded is asked for once ours has printed, since it prints for each request that is not ours,
  and as long as something is loaded, whose time may run out. Somebody else's prints where we do not read, and is asked
  once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from core.endpoint import Endpoint
from core.errors import ConfigError
from core.ollama import knock
from core.ollama.words import NOT_REACHABLE
from core.supervision.machine import Machine
from core.supervision.state import RESTING, TRANSIENT, UP, State, Status
from core.supervision.tasks import Errands

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
KNOCK_SECONDS = 1.0
LIST_SECONDS = 60.0


class Rounds:
    """The rounds of one supervisor. `go` is a task of its group."""

    def __init__(self, machine: Machine, errands: Errands) -> None:
        self._machine = machine
        self._errands = errands
        self._growth = errands.log_growth()
        self._was_open = False
        self._looked_at = self._listed_at = time.monotonic()

    async def go(self) -> None:
        """Make rounds for ever."""
        while True:
            port = _free_port(self._machine.hub.current)
            await self._pause(KNOCK_SECONDS if port else LOOK_SECONDS)
            try:
                if port is None or await self._is_look_due(port):
                    await self._look()
            except Exception:
                log.exception("a round failed")

    async def _look(self) -> None:
        if self._machine.hub.current.state is State.EXTERNAL:
            await self._errands.adopt_late()
        if self._machine.hub.current.state not in TRANSIENT:
            await asyncio.wait([self._machine.lookout.glance()])
            self._looked_at = time.monotonic()
        await self._list_what_may_have_changed()

    async def _pause(self, seconds: float) -> None:
        """Let that time pass, or less if the state changes: then another round may be the right one."""
        self._machine.moved.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._machine.moved.wait()

    async def _is_look_due(self, port: Endpoint) -> bool:
        """Whether somebody has come to the port since the last knock, or the last look is old."""
        was_open, self._was_open = self._was_open, await knock.is_anybody_there(port)
        return (self._was_open and not was_open) or time.monotonic() - self._looked_at >= LOOK_SECONDS

    async def _list_what_may_have_changed(self) -> None:
        status = self._machine.hub.current
        if status.state not in UP or status.error is not None:
            return
        is_long_ago = time.monotonic() - self._listed_at >= LIST_SECONDS
        # A failed call is in the log, and so would be followed by the next one at once.
        is_ours = status.state is State.RUNNING and status.models_error is None
        has_printed = is_ours and await self._growth.has_grown()
        if is_long_ago or has_printed:
            self._machine.lookout.list_models()
            self._listed_at = time.monotonic()
        if is_long_ago or has_printed or (is_ours and status.loaded):
            self._machine.lookout.list_loaded()


def _free_port(status: Status) -> Endpoint | None:
    """The port to knock at: nobody listens there, as far as is known."""
    if status.state not in RESTING - UP or status.error != NOT_REACHABLE or status.owner is not None:
        return None
    try:
        endpoint = Endpoint.parse(status.url)
    except ConfigError:
        return None
    return endpoint if knock.can_be_asked(endpoint) else None
