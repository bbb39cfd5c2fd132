"""One run of a container, from its start to its end. Contract: `protocol.Running`. Belongs to the supervisor's loop.

A run is known by the container's id and the moment of its start, so an engine's own restart is another run. Its end is
an event of the engine. Where the engine runs on this kernel, the end of the first process is watched as well: that end
is seen although the engine hangs or is gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

import psutil

from core.endpoint import Endpoint, bracketed
from core.errors import StopFailed
from core.ollama.publishers import is_publisher
from core.owners.alike import family, seen_end, set_within
from core.owners.container.engine import Engine, EngineFault, NoSuchContainer
from core.owners.container.facts import OLLAMA_PORT, Container
from core.owners.container.lines import seconds_of
from core.owners.exit import Exit, Sequel
from core.owners.logs import Logs
from core.owners.protocol import Reading
from core.platform import birth
from core.platform.owner import container_of
from core.shim.record import STOPPED

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 3.0
"""How long a restart by the engine may take to show, after the end of a run."""
_AWAY_SECONDS = 15.0
"""How long an engine may be away after the end of a run, before that is told without its word."""
_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 5.0
_STOP_MARGIN_SECONDS = 5.0
_BY_HAND = frozenset({"kill", "stop"})


class ContainerRun:
    """The run that `container` shows. `born` is the birth of its process, None if that is on another kernel."""

    def __init__(
        self,
        engine: Engine,
        container: Container,
        born: str | None,
        instance: str,
        owner: str,
        logs: Logs,
        grace: float,
    ) -> None:
        self.container = container
        self.instance = instance
        self.owner = owner
        self.logs = logs
        self.log: str | None = None
        self.is_lasting = True
        self._engine = engine
        self._birth = born
        self._grace = grace
        self._began = seconds_of(container.state.started_at.encode()) or 0.0
        self._is_stopping = False
        self._was_asked = False
        self._has_ended = asyncio.Event()

    @property
    def url(self) -> str:
        """Contract: `Running.url`. Where the container is published, or listens by itself."""
        places = self.container.listens_at() or [Endpoint("http", "127.0.0.1", OLLAMA_PORT)]
        loopback = [place for place in places if place.is_loopback or place.host in ("0.0.0.0", "::")]  # noqa: S104
        return (loopback or places)[0].base_url

    @property
    def pid(self) -> int:
        """Contract: `Running.pid`. In a machine of the engine's own it means nothing outside of that."""
        return self.container.state.pid

    def how_to_move(self, url: str) -> str:
        """Contract: `Running.how_to_move`."""
        return how_to_publish(self.container, url)

    async def lives(self) -> bool:
        """Contract: `Running.lives`."""
        if self._has_ended.is_set():
            return False
        try:
            if self._birth is not None:
                return await asyncio.to_thread(birth, self.pid) == self._birth
            return (await self._engine.inspect(self.container.id)).run == self.container.run
        except NoSuchContainer:
            return False
        except (EngineFault, OSError):
            return True

    async def ended(self, on_unkillable: Callable[[StopFailed], None] = lambda error: None) -> Exit:
        """Contract: `Running.ended`. The kernel ends all of a container with its first process."""
        process = asyncio.create_task(self.died())
        told = asyncio.create_task(self._told_by_engine())
        try:
            await asyncio.wait([process, told], return_when=asyncio.FIRST_COMPLETED)
            exit = await self._outcome()
        finally:
            process.cancel()
            told.cancel()
            await asyncio.gather(process, told, return_exceptions=True)
        self._has_ended.set()
        return exit

    async def died(self) -> None:
        """Contract: `Running.died`. It is seen where the engine runs on this kernel."""
        await seen_end(self.pid, self._birth)

    async def _told_by_engine(self) -> None:
        """Wait until the engine shows that this run is over. An engine that is away says nothing about it."""
        pause = _RETRY_SECONDS
        while True:
            try:
                async with aclosing(self._engine.events(self.container.id)) as events:
                    async for event in events:
                        if event.action in _BY_HAND and event.at >= self._began:
                            self._was_asked = True
                        pause = _RETRY_SECONDS
                        if await self._is_over():
                            return
            except NoSuchContainer:
                return
            except EngineFault as fault:
                log.debug("the engine of container %s: %s", self.container.name, fault)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_RETRY_SECONDS)

    async def _is_over(self) -> bool:
        now = await self._engine.inspect(self.container.id)
        return now.run != self.container.run or not now.runs

    async def _outcome(self) -> Exit:
        """How it ended and what the engine does next, once that shows."""
        deadline = time.monotonic() + _AWAY_SECONDS
        settled = time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                now = await self._engine.inspect(self.container.id)
            except NoSuchContainer:
                return Exit(None, "was removed with its container", None, (), Sequel.STOPPED)
            except EngineFault as fault:
                if time.monotonic() > deadline:
                    return self._untold(fault)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            is_over = now.run != self.container.run or not now.runs
            code = now.exit_code if not now.runs else None
            if is_over and (now.state.restarting or now.run[1] != self.container.run[1]) and not self._is_stopping:
                return self._exit(now, code, Sequel.RESTARTED)
            may_follow = now.restarts_after(code) and not (self._is_stopping or self._was_asked)
            if is_over and (not may_follow or time.monotonic() > settled):
                sequel = now.sequel(is_ours=self._is_stopping, was_asked=self._was_asked, code=code)
                return self._exit(now, code, sequel)
            await asyncio.sleep(0.1)

    def _exit(self, now: Container, code: int | None, sequel: Sequel) -> Exit:
        reason = STOPPED if self._is_stopping else "exited"
        why = (now.state.error,) if now.state.error else ()
        if now.state.o_o_m_killed and not self._is_stopping:
            why = (*why, "The container was out of memory.")
        if code is None and not self._is_stopping:
            reason = "ended, and its engine has started it again"
        return Exit(code, reason, _to_seconds(now.state.finished_at), why, sequel)

    def _untold(self, fault: EngineFault) -> Exit:
        sequel = Sequel.RESTARTED if self.container.restarts_after(None) and not self._is_stopping else Sequel.STOPPED
        reason = STOPPED if self._is_stopping else f"ended, and how is not known: {fault.message}"
        return Exit(None, reason, None, (), sequel)

    async def stop(self) -> None:
        """Contract: `Running.stop`. By the engine, which then does not start it again."""
        self._is_stopping = True
        try:
            await self._engine.stop(self.container.id, self._grace)
        except NoSuchContainer:
            pass
        except EngineFault as fault:
            self._is_stopping = await self.gone_within(0)
            if not self._is_stopping:
                raise StopFailed(
                    f"The container {self.container.name} was not stopped: {fault.message}", action=fault.action
                ) from fault
        if not await self.gone_within(_STOP_MARGIN_SECONDS):
            self._is_stopping = False
            raise StopFailed(
                f"The container {self.container.name} does not end, although its engine was told to end it."
            )

    async def gone_within(self, timeout: float) -> bool:
        """Contract: `Running.gone_within`."""
        return await set_within(self._has_ended, timeout)

    def owns(self, pid: int) -> bool:
        """Contract: `Running.owns`. The helper that holds a published port counts: it is the engine's, for this one."""
        if self._birth is None:
            # The container is on another kernel, and what listens here is some helper of the engine.
            return True
        found = container_of(pid)
        if found is not None and found.id == self.container.short_id:
            return True
        if self.container.uses_host_network:
            return False
        with suppress(psutil.Error, OSError):
            return is_publisher(psutil.Process(pid).name())
        return False

    def usage(self) -> Sequence[int]:
        """Contract: `Running.usage`. None for a container on another kernel."""
        return family(self.pid, self._birth)

    async def reading(self) -> Reading | None:
        """Contract: `Running.reading`. The engine's own measurement, for a container on another kernel."""
        if self._birth is not None:
            return None
        try:
            taken = await self._engine.stats(self.container.id)
        except EngineFault as fault:
            log.debug("what container %s takes is not known: %s", self.container.name, fault)
            return None
        return taken.reading(self._began)

    def let_go(self) -> None:
        """Contract: `Running.let_go`. Nothing holds it."""


def birth_of(container: Container) -> str | None:
    """The birth of a running container's first process; None if that is on another kernel. Blocks some ms.

    The control group tells: an engine in a machine of its own has pids of its own, which are anybody's here.
    """
    with suppress(OSError):
        born, found = birth(container.state.pid), container_of(container.state.pid)
        return born if found and found.id == container.short_id else None
    return None


def how_to_publish(container: Container, url: str, *, is_moved: bool = True) -> str:
    """What would make a container's Ollama be had at `url`, in words; without `is_moved`, and nowhere else."""
    wanted = Endpoint.parse(url)
    found = (container.listens_at() or []) if is_moved else []
    ways = [f'Set ollamaUrl to "{found[0].base_url}"'] if found else []
    if container.uses_host_network:
        ways.append(f"make the container anew with OLLAMA_HOST={bracketed(wanted.host)}:{wanted.port}")
    else:
        ways.append(f"make the container anew with --publish 127.0.0.1:{wanted.port}:{OLLAMA_PORT}")
    text = ", or ".join(ways)
    return f"{text[0].upper()}{text[1:]}."


def _to_seconds(stamp: str) -> str | None:
    """A time stamp of the engine as our records have it, to the second; None if it is none."""
    return f"{stamp[:19]}Z" if len(stamp) >= 19 and not stamp.startswith("0001") else None
