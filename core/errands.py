"""What the supervisor has done outside while it goes on: look, spawn, wait, stop. Each errand posts what it found.

Errands write no state. They run on the supervisor's loop, as tasks of its group, and may be cancelled at any time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from core import detect, launch, mail
from core.adopt import adopt
from core.config import Paths, SettingsReader
from core.detect import Answer, Probe
from core.endpoint import Endpoint
from core.errors import CoreError, SpawnFailed, StartTimedOut, StopFailed
from core.launch import Memory
from core.listener import Listener, find_listener
from core.look import Look, Looker
from core.platform import birth
from core.process import Managed, wait_end
from core.spawn import Plan, spawn
from core.state import NOT_REACHABLE

_FIRST_RETRY_SECONDS = 0.02
_LONGEST_RETRY_SECONDS = 0.25
_END_SECONDS = 5.0


class Errands:
    """Runs errands for one supervisor; `post` puts a message into its mailbox."""

    def __init__(
        self, paths: Paths, post: Callable[[mail.Message], None], reader: SettingsReader | None = None
    ) -> None:
        self.looker = Looker(reader or SettingsReader(paths))
        self.memory = Memory()
        self._paths = paths
        self._post = post

    async def close(self) -> None:
        """Drop the connections to Ollama."""
        await self.looker.close()

    async def adopt(self) -> tuple[Managed | None, Look]:
        """The managed Ollama that an earlier sidecar left, if any, and a first look. One is adopted, others end."""
        setup = await self.looker.setup()
        grace = setup.settings.sidecar.stop_timeout
        found = await asyncio.to_thread(adopt, self._paths.run, grace)
        found.sort(key=lambda managed: managed.record.url != setup.url)
        for surplus in found[1:]:
            await self._end(surplus)
        managed = found[0] if found else None
        return managed, await self.looker.look(managed.record.url if managed else None)

    async def _end(self, managed: Managed) -> None:
        with suppress(StopFailed):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(managed.watch())
                await managed.stop()

    async def look(self, managed_url: str | None, epoch: int) -> None:
        """Look, and return once the supervisor has drawn its conclusions."""
        look = await self.looker.look(managed_url)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._post(mail.Seen(look, epoch, done))
        await done

    async def prepare(self, managed: Managed | None) -> None:
        """Find out whether a start may go ahead: UpAlready, Refused, or Cleared."""
        if managed:
            await self._prepare_managed(managed)
            return
        look = await self.looker.look(None)
        try:
            plan = launch.plan(look, self._paths)
        except CoreError as error:
            self._post(mail.Refused(look, error))
            return
        if known := self.memory.recall(look):
            self._post(mail.Refused(look, known))
        else:
            self._post(mail.Cleared(look, plan))

    async def _prepare_managed(self, managed: Managed) -> None:
        look = await self.looker.look(managed.record.url)
        is_dropped = look.probe.answer is Answer.SOMETHING_ELSE and look.probe.error == NOT_REACHABLE
        if look.probe.answer is Answer.NOBODY or is_dropped:
            # It has just ended, or is ending with its port still open, and that is about to be told.
            await managed.gone(_END_SECONDS)
        elif error := launch.why_not_managed(look, managed.record):
            self._post(mail.Refused(look, error))
            return
        self._post(mail.UpAlready())

    async def spawn(self, plan: Plan, ready_timeout: float) -> None:
        """Spawn: Spawned or NotSpawned."""
        try:
            self._post(mail.Spawned(await spawn(plan), ready_timeout))
        except SpawnFailed as error:
            self._post(mail.NotSpawned(error))

    async def await_ready(self, managed: Managed, timeout: float, is_wanted: Callable[[Managed], bool]) -> None:
        """Probe until our Ollama answers on our port: Ready, or NotReady after `timeout` seconds.

        Gives up silently as soon as `is_wanted` says no.
        """
        endpoint = Endpoint.parse(managed.record.url)
        deadline = time.monotonic() + timeout
        pause = _FIRST_RETRY_SECONDS
        while is_wanted(managed):
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    if probe := await self._ready_probe(managed, endpoint):
                        self._post(mail.Ready(managed, probe))
                        return
                    await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_RETRY_SECONDS)
            if time.monotonic() >= deadline:
                self._post(mail.NotReady(managed, await self._late(endpoint, managed, timeout)))
                return

    async def _ready_probe(self, managed: Managed, endpoint: Endpoint) -> Probe | None:
        probe = await detect.probe(self.looker.client(endpoint))
        if probe.answer is not Answer.OLLAMA:
            return None
        return None if await self._stranger(managed, endpoint) else probe

    async def _stranger(self, managed: Managed, endpoint: Endpoint) -> Listener | None:
        """Who listens there, if that is known not to be ours."""
        listener = await asyncio.to_thread(find_listener, endpoint)
        if listener is None or listener.pid is None:
            # Nobody lets us see whose it is: the port was free just before the spawn, and the child lives.
            return None
        return None if await asyncio.to_thread(managed.owns, listener.pid) else listener

    async def _late(self, endpoint: Endpoint, managed: Managed, timeout: float) -> CoreError:
        if stranger := await self._stranger(managed, endpoint):
            return launch.port_in_use(endpoint.port, stranger)
        return StartTimedOut(
            f"Ollama was started but did not answer at {endpoint.base_url} within {timeout:g} s.",
            action="Look into the log, or allow more time with readyTimeout.",
        )

    async def watch(self, managed: Managed) -> None:
        """Wait for the end of a managed Ollama: Ended."""
        exit = await managed.watch()
        error: CoreError = launch.early_exit(exit)
        if launch.is_port_taken(exit):
            error = await self._who_took_the_port(managed, error)
        self._post(mail.Ended(managed, exit, error))

    async def _who_took_the_port(self, managed: Managed, otherwise: CoreError) -> CoreError:
        endpoint = Endpoint.parse(managed.record.url)
        probe = await detect.probe(self.looker.client(endpoint))
        listener = await asyncio.to_thread(find_listener, endpoint)
        if probe.answer is Answer.OLLAMA:
            return launch.already_running(listener)
        return launch.port_in_use(endpoint.port, listener) if listener else otherwise

    async def stop(self, managed: Managed) -> None:
        """Stop a managed Ollama; `watch` tells of its end. Unstoppable if there is none."""
        try:
            await managed.stop()
        except StopFailed as error:
            self._post(mail.Unstoppable(managed, error))

    async def retry_after(self, delay: float, epoch: int) -> None:
        """Let `delay` seconds pass: Retry."""
        await asyncio.sleep(delay)
        self._post(mail.Retry(epoch))

    async def wait_end(self, pid: int) -> None:
        """Wait for the end of a process that is not ours."""
        with suppress(OSError):
            if born := await asyncio.to_thread(birth, pid):
                await wait_end(pid, born)
