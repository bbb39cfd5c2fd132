"""Polls while nobody asks: as little as keeps the icon true, since Ollama's log belongs to its user.

The end of a process is an event, for which nothing is polled. The rest is:

- An Ollama that is up is asked for its version each 5 s, so that one that hangs is noticed.
- While nobody listens on loopback, the port is tried each second by a connect that sends nothing and leaves no trace.
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
from core.ollama import tcp_probe
from core.ollama.error_texts import NOT_REACHABLE
from core.supervision.machine import Machine
from core.supervision.state import RESTING, TRANSIENT, UP, State, Status
from core.supervision.tasks import Tasks

log = logging.getLogger(__name__)

OBSERVE_SECONDS = 5.0
CONNECT_SECONDS = 1.0
LIST_SECONDS = 60.0


class Poller:
    """The polling of one supervisor. `run` is a task of its group."""

    def __init__(self, machine: Machine, tasks: Tasks) -> None:
        self._machine = machine
        self._tasks = tasks
        self._growth = tasks.log_growth()
        self._was_open = False
        self._observed_at = self._listed_at = time.monotonic()

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            port = _free_port(self._machine.hub.current)
            # A change of the state ends the pause, since something else may have to be polled then.
            self._machine.moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS if port else OBSERVE_SECONDS):
                    await self._machine.moved.wait()
            try:
                if port:
                    was_open, self._was_open = self._was_open, await tcp_probe.is_listening(port)
                    has_come = self._was_open and not was_open
                    if not has_come and time.monotonic() - self._observed_at < OBSERVE_SECONDS:
                        continue
                await self._observe()
            except Exception:
                log.exception("a poll failed")

    async def _observe(self) -> None:
        """Observe, and list the models that may have changed."""
        if self._machine.hub.current.state is State.EXTERNAL:
            await self._tasks.adopt_late()
        if self._machine.hub.current.state not in TRANSIENT:
            await asyncio.wait([self._machine.refresher.observe_cached()])
            self._observed_at = time.monotonic()
        status = self._machine.hub.current
        if status.state not in UP or status.error is not None:
            return
        is_long_ago = time.monotonic() - self._listed_at >= LIST_SECONDS
        # A failed call is in the log, and so would be followed by the next one at once.
        is_ours = status.state is State.RUNNING and status.models_error is None
        has_printed = is_ours and await self._growth.has_grown()
        if is_long_ago or has_printed:
            self._machine.refresher.list_models()
            self._listed_at = time.monotonic()
        if is_long_ago or has_printed or (is_ours and status.loaded):
            self._machine.refresher.list_loaded()


def _free_port(status: Status) -> Endpoint | None:
    """The port to try by a connect: nobody listens there, as far as is known."""
    if status.state not in RESTING - UP or status.error != NOT_REACHABLE or status.owner is not None:
        return None
    try:
        endpoint = Endpoint.parse(status.url)
    except ConfigError:
        return None
    return endpoint if tcp_probe.can_probe(endpoint) else None
