"""What the supervisor has done outside while it goes on: look, spawn, wait, stop. Each errand posts what it found.

Errands write no state. They run on the supervisor's loop, as tasks of its group, and may be cancelled at any time.
Whatever goes wrong in one is news like any other: each ends with a message, since somebody may wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from core.endpoint import Endpoint
from core.errors import CoreError, SpawnFailed, StopFailed
from core.ollama.activity import LogGrowth
from core.ollama.call import CallFailed
from core.ollama.client import Client, Model, ModelList
from core.ollama.probe import Answer, list_error_text
from core.ollama.words import NOT_REACHABLE
from core.owners.adopt import Adoption, adopt, adopt_late
from core.owners.exit import Exit
from core.owners.process import Managed, wait_end
from core.owners.spawn import Plan, spawn
from core.platform import birth
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision import messages, preflight
from core.supervision.look import Look, Looker
from core.supervision.preflight import Memory
from core.supervision.readiness import Readiness
from core.supervision.state import Status
from core.threads.single_flight import SingleFlight

log = logging.getLogger(__name__)

# An Ollama whose output something else holds on to needs about 9 s from its death to the end of its shim.
_END_SECONDS = 15.0
_RETRY_SECONDS = 1.0
_ADOPT_SECONDS = 1.0
# Reading the list of many models from a slow disk takes its time. A call that is given up goes on over there, so that
# giving up early and asking again would pile calls up.
_LIST_SECONDS = 30.0
# What is loaded Ollama knows by heart.
_LOADED_SECONDS = 2.0


class Errands:
    """Runs errands for one supervisor; `post` puts a message into its mailbox."""

    def __init__(
        self, paths: Paths, post: Callable[[messages.Message], None], reader: SettingsReader | None = None
    ) -> None:
        self.looker = Looker(reader or SettingsReader(paths))
        self.memory = Memory()
        self._paths = paths
        self._post = post
        self._unread: list[Path] = []
        self._grace = 0.0
        self._adopting = SingleFlight("adopt", lambda: adopt_late(paths.run, self._grace))

    async def close(self) -> None:
        """Drop the connections to Ollama."""
        await self.looker.close()

    async def adopt(self) -> tuple[Managed | None, Look]:
        """The managed Ollama that an earlier sidecar left, if any, and a first look. One is adopted, others end."""
        setup = await self.looker.setup()
        self._grace = setup.settings.sidecar.stop_timeout
        try:
            found, self._unread = await asyncio.to_thread(adopt, self._paths.run, self._grace)
        except Exception:
            log.exception("what an earlier sidecar left in %s cannot be looked at", self._paths.run)
            found, self._unread = Adoption([], [self._paths.run])
        found.sort(key=lambda managed: managed.record.url != setup.url)
        for surplus in found[1:]:
            await self._end(surplus)
        managed = found[0] if found else None
        return managed, await self.looker.look(managed.record.url if managed else None)

    async def adopt_late(self) -> None:
        """Look again at what could not be read at the start, if anything: Adopted, if it proves an Ollama to be ours.

        Takes a second at most. Returns once the supervisor has drawn its conclusions.
        """
        if not self._unread:
            return
        with suppress(TimeoutError, OSError):
            found, self._unread = await self._adopting.run(_ADOPT_SECONDS)
            for managed in found:
                await self._settled(partial(messages.Adopted, managed))

    async def _end(self, managed: Managed) -> None:
        with suppress(StopFailed):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(managed.watch())
                await managed.stop()

    async def look(self, managed_url: str | None, epoch: int, *, is_glance: bool = False) -> None:
        """Look, and return once the supervisor has drawn its conclusions."""
        look = await self.looker.look(managed_url, is_glance=is_glance)
        await self._settled(lambda done: messages.Seen(look, epoch, done))

    async def list_models(self, url: str, epoch: int) -> None:
        """Ask for the installed models: Listed. Returns once the supervisor has drawn its conclusions."""
        models, error = await self._listed(url, lambda client: client.tags(_LIST_SECONDS))
        await self._settled(lambda done: messages.Listed(models, error, epoch, done))

    async def list_loaded(self, url: str, epoch: int) -> None:
        """Ask for the models in memory: Loaded. Returns once the supervisor has drawn its conclusions."""
        models, _ = await self._listed(url, lambda client: client.loaded(_LOADED_SECONDS))
        names = None if models is None else tuple(model.name for model in models)
        await self._settled(lambda done: messages.Loaded(names, epoch, done))

    async def _listed(
        self, url: str, ask: Callable[[Client], Awaitable[ModelList]]
    ) -> tuple[tuple[Model, ...] | None, str | None]:
        try:
            return (await ask(self.looker.lister(Endpoint.parse(url)))).models, None
        except CallFailed as error:
            return None, list_error_text(error)
        except Exception:
            log.debug("%s cannot be asked for models", url, exc_info=True)
            return None, NOT_REACHABLE

    async def _settled(self, message: Callable[[asyncio.Future[None]], messages.Message]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._post(message(done))
        await done

    async def prepare(self, managed: Managed | None, status: Status, epoch: int) -> None:
        """Find out whether a start may go ahead: UpAlready, GoneMeanwhile, Refused, or Cleared.

        `status` is what is known in `epoch`, in which the start begins.
        """
        look: Look | None = None
        try:
            if managed:
                self._post(await self._prepared_managed(managed, epoch))
                return
            look = await self.looker.look(None)
            plan = preflight.plan(look, status, self._paths)
            if known := self.memory.recall(look):
                self._post(messages.Refused(look, known, epoch))
            else:
                self._post(messages.Cleared(look, plan, epoch))
        except CoreError as error:
            self._post(messages.Refused(look, error, epoch))
        except Exception as error:
            self._post(messages.Refused(look, _unexpected(error, SpawnFailed), epoch))

    async def _prepared_managed(self, managed: Managed, epoch: int) -> messages.Message:
        look = await self.looker.look(managed.record.url)
        probe = look.probe
        # A connection that is dropped is one to a process that ends with its port still open.
        is_dropped = probe.answer is Answer.SOMETHING_ELSE and probe.error == NOT_REACHABLE
        # One that answered may have died since, or the answer may be that of its port's next holder.
        if probe.answer is Answer.NOBODY or is_dropped or not await self.lives(managed):
            why = None
            try:
                if await managed.gone_within(_END_SECONDS):
                    return messages.GoneMeanwhile()
            except StopFailed as failed:
                why = failed
            return messages.Refused(look, preflight.still_ending(managed.record, why), epoch)
        if error := preflight.why_not_managed(look, managed.record):
            return messages.Refused(look, error, epoch)
        return messages.UpAlready(managed)

    async def lives(self, managed: Managed) -> bool:
        """Whether the process of a managed Ollama is there now. One that may not be looked at counts as alive."""
        try:
            return await asyncio.to_thread(birth, managed.record.pid) == managed.record.birth
        except OSError:
            return True

    async def spawn(self, plan: Plan, ready_timeout: float) -> None:
        """Spawn: Spawned or NotSpawned."""
        try:
            self._post(messages.Spawned(await spawn(plan), ready_timeout))
        except SpawnFailed as error:
            self._post(messages.NotSpawned(error))
        except Exception as error:
            self._post(messages.NotSpawned(_unexpected(error, SpawnFailed)))

    async def await_ready(self, managed: Managed, timeout: float, is_wanted: Callable[[Managed], bool]) -> None:
        """Wait until our Ollama answers on our port: Ready, or NotReady; StillWaiting when it takes longer than usual.

        Gives up silently as soon as `is_wanted` says no.
        """
        try:
            readiness = Readiness(managed, self.looker, self.log_growth(), timeout)
            probe = await readiness.reached(
                lambda: is_wanted(managed), lambda what: self._post(messages.StillWaiting(managed, what))
            )
            if probe:
                self._post(messages.Ready(managed, probe))
        except CoreError as error:
            self._post(messages.NotReady(managed, error))
        except Exception as error:
            self._post(messages.NotReady(managed, _unexpected(error, SpawnFailed)))

    def log_growth(self) -> LogGrowth:
        """A fresh measure of whether managed Ollamas print."""
        return LogGrowth(self._paths.logs)

    async def watch(self, managed: Managed) -> None:
        """Wait for the end of a managed Ollama: Ended. Unstoppable before that, if a member of its tree outlasts it."""
        exit = None
        while exit is None:
            exit = await self._end_of(managed)
        error: CoreError = preflight.early_exit(exit)
        if preflight.is_port_taken(exit):
            error = await self._who_took_the_port(managed, error)
        self._post(messages.Ended(managed, exit, error))

    async def _end_of(self, managed: Managed) -> Exit | None:
        """How it ended; None, after a second, if that could not be waited for."""
        try:
            return await managed.watch(lambda error: self._post(messages.Unstoppable(managed, error)))
        except Exception:
            log.exception("the end of Ollama (pid %d) cannot be waited for", managed.record.pid)
        await asyncio.sleep(_RETRY_SECONDS)
        return None

    async def _who_took_the_port(self, managed: Managed, otherwise: CoreError) -> CoreError:
        endpoint = Endpoint.parse(managed.record.url)
        probe = await self.looker.probe(endpoint)
        listener = await self.looker.listener(endpoint)
        if probe.answer is Answer.OLLAMA:
            return preflight.already_running(listener)
        return preflight.port_in_use(endpoint.port, listener) if listener else otherwise

    async def stop(self, managed: Managed) -> None:
        """Stop a managed Ollama; `watch` tells of its end. Unstoppable if there is none."""
        try:
            await managed.stop()
        except StopFailed as error:
            self._post(messages.Unstoppable(managed, error))
        except Exception as error:
            self._post(messages.Unstoppable(managed, _unexpected(error, StopFailed)))

    async def retry_after(self, delay: float, epoch: int) -> None:
        """Let `delay` seconds pass: Retry."""
        await asyncio.sleep(delay)
        self._post(messages.Retry(epoch))

    async def wait_end(self, pid: int) -> None:
        """Wait for the end of a process that is not ours."""
        with suppress(OSError):
            if born := await asyncio.to_thread(birth, pid):
                await wait_end(pid, born)


def _unexpected(error: Exception, kind: type[CoreError]) -> CoreError:
    """The error for what nobody has foreseen."""
    log.error("an errand failed", exc_info=error)
    return kind(f"{type(error).__name__}: {error}", action="The sidecar's own log has the whole story.")
