"""The supervisor's work outside, done while it goes on: observe, start, wait, stop. Each task posts what it found.

Tasks write no state. They run on the supervisor's loop, in its task group, and may be cancelled at any time. A task
that fails posts its message all the same, since somebody may wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.endpoint import Endpoint
from core.errors import CoreError, StopFailed
from core.ollama.activity import LogGrowth
from core.ollama.call import CallFailed
from core.ollama.client import Client
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.models import LoadedModel, Model, ModelList
from core.ollama.probe import Answer, Probe, list_error_text
from core.owners.kinds import Owners
from core.owners.logs import logs_of
from core.owners.protocol import Condition, Plan, Running, Terms
from core.owners.tree_end import wait_end
from core.platform import birth
from core.settings.owner import PROCESS
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision import messages, preflight
from core.supervision.hooks import Hooks
from core.supervision.instance import Instance
from core.supervision.observer import Observation, Observer
from core.supervision.preflight import FailureMemory
from core.supervision.readiness import Readiness
from core.supervision.shared_task import unexpected
from core.supervision.state import Status

log = logging.getLogger(__name__)

M = TypeVar("M", Model, LoadedModel)

_RETRY_SECONDS = 1.0
_TOLD_SECONDS = 1.0
_BEFORE_STOP_SECONDS = 2.0
# Ollama reads the list of models from disk, which may be slow. A call that we give up goes on in Ollama, so giving up
# early and asking again would pile up calls there.
_LIST_SECONDS = 30.0
# Ollama has the list of loaded models in memory.
_LOADED_SECONDS = 2.0


class Tasks:
    """The tasks of the supervisor of one instance; `post` puts a message into its queue."""

    def __init__(
        self,
        paths: Paths,
        post: Callable[[messages.Message], None],
        reader: SettingsReader | None = None,
        instance: Instance | None = None,
        owners: Owners | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.instance = instance or Instance()
        self.observer = Observer(reader or SettingsReader(paths), self.instance)
        self.memory = FailureMemory()
        self.post = post
        self._paths = paths
        self._owners = owners or Owners(paths)
        self._owner = PROCESS
        self._looked = asyncio.Event()
        self._hooks = hooks or Hooks()

    async def close(self) -> None:
        """Drop the connections to Ollama."""
        await self.observer.close()

    async def adopt(self, found: Sequence[Running] | None) -> tuple[Running | None, Observation]:
        """The managed Ollama of this instance among those that were found running, if any, and a first observation.

        None: find them. Whatever else there is goes on as it is, and is logged.
        """
        setup = await self.observer.setup()
        if found is None:
            found = await self._owners.find(setup.settings.sidecar.stop_timeout, [setup.owner])
        # The release before this had a record for each port that `ollamaUrl` ever named.
        ours = sorted(
            (managed for managed in found if managed.instance == self.instance.id),
            key=lambda managed: managed.url != setup.url,
        )
        managed = ours[0] if ours else None
        for other in found:
            if other is not managed:
                log.warning("Ollama (pid %d) at %s, of an earlier sidecar, is left alone", other.pid, other.url)
        return managed, await self.observer.observe(managed.url if managed else None)

    async def adopt_late(self) -> None:
        """Read again the records that could not be read before, if any.

        Posts Adopted if one proves an Ollama to be ours. Returns once that has been handled, after a second at most.
        """
        for text in dict.fromkeys([self._owner, PROCESS]):
            for managed in await self._owners.named(text).find_late(self.instance.id):
                await self._adopt(managed)

    def attend(self, owner: str, terms: Terms) -> Coroutine[Any, Any, None]:
        """Have that owner do what it does while it is in force. Posts Adopted and Troubled. Until it is cancelled."""
        # Whoever waits for the former owner's word waits in vain.
        self._looked.set()
        self._owner, self._looked = owner, asyncio.Event()
        return self._attend(owner, terms, self._looked)

    async def _attend(self, owner: str, terms: Terms, looked: asyncio.Event) -> None:
        try:
            news = _News(owner, self.post, self._adopt, looked)
            await self._owners.named(owner).attend(self.instance.id, terms, news)
        finally:
            looked.set()

    async def owner_looked(self) -> None:
        """Return once the owner in force has told what it runs, or why that is not known. It may take for ever."""
        await self._looked.wait()

    async def call_off(self, owner: str) -> None:
        """Contract: `core.owners.protocol.Owner.call_off`."""
        await self._owners.named(owner).call_off(self.instance.id)

    async def _adopt(self, managed: Running) -> None:
        """Post Adopted. Returns once that has been handled."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.post(messages.Adopted(managed, done))
        await done

    async def observe(self, managed_url: str | None, *, allow_cached: bool = False) -> Observation:
        """Contract: `Observer.observe`."""
        return await self.observer.observe(managed_url, allow_cached=allow_cached)

    async def post_observation(self, managed_url: str | None, epoch: int, *, allow_cached: bool = False) -> None:
        """Observe, and post Found. Returns once that has been handled."""
        await self._post_found(await self.observe(managed_url, allow_cached=allow_cached), epoch)

    async def list_models(self, url: str, epoch: int) -> None:
        """Ask for the installed models, and post Found. Returns once that has been handled."""
        models, error = await self._listed(url, lambda client: client.tags(_LIST_SECONDS))
        await self._post_found(messages.InstalledModels(models, error), epoch)

    async def list_loaded(self, url: str, epoch: int) -> None:
        """Ask for the models in memory, and post Found. Returns once that has been handled."""
        models, _ = await self._listed(url, lambda client: client.loaded(_LOADED_SECONDS))
        names = None if models is None else tuple(model.name for model in models)
        await self._post_found(messages.LoadedModels(names), epoch)

    async def _listed(
        self, url: str, ask: Callable[[Client], Awaitable[ModelList[M]]]
    ) -> tuple[tuple[M, ...] | None, str | None]:
        try:
            return (await ask(self.observer.lister(Endpoint.parse(url)))).models, None
        except CallFailed as error:
            return None, list_error_text(error)
        except Exception:
            log.debug("%s cannot be asked for models", url, exc_info=True)
            return None, NOT_REACHABLE

    async def _post_found(
        self, answer: Observation | messages.InstalledModels | messages.LoadedModels, epoch: int
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.post(messages.Found(answer, epoch, done))
        await done

    def plan(self, observation: Observation, before: Status) -> Plan:
        """What a start would run. Raises the CoreError that says why nothing may be run."""
        added = self._hooks.start_environment(self.instance.id)
        return preflight.plan(observation, before, self._paths, self.instance.id, added)

    async def check_restart(self, managed: Running, before: Status) -> None:
        """Raise the CoreError that says why nothing could be started in place of `managed` if that were stopped."""
        setup = await self.observer.setup()
        if setup.url == managed.url:
            # Its stop leaves the port free.
            observation = Observation(setup, setup.url, Probe(Answer.NOBODY, NOT_REACHABLE), None)
        else:
            observation = await self.observe(None)
        plan = self.plan(observation, before)
        if plan.owner != PROCESS:
            # That one finds what is still there, and waits for its end.
            await self._owners.named(plan.owner).check(plan)

    async def is_alive(self, managed: Running) -> bool:
        """Contract: `core.owners.protocol.Running.lives`."""
        return await managed.lives()

    async def start_process(self, plan: Plan) -> Running:
        """Contract: `core.owners.protocol.Owner.start`."""
        return await self._owners.named(plan.owner).start(plan)

    async def ready(self, managed: Running, timeout: float, on_overtime: Callable[[str], None]) -> Probe:
        """Contract: `Readiness.reached`; `timeout` is `readyTimeout`."""
        return await Readiness(managed, self.observer, self.log_growth(), timeout).reached(on_overtime)

    def log_growth(self) -> LogGrowth:
        """A new measurement of whether the managed Ollama prints."""
        return LogGrowth(logs_of(self._paths, self.instance.id))

    async def watch(self, managed: Running) -> None:
        """Wait for the end of a managed Ollama, and post Ended. Posts Unstoppable while its tree cannot be ended."""
        exit = None
        dying = asyncio.create_task(self._tell_death(managed))
        try:
            while exit is None:
                try:
                    exit = await managed.ended(lambda error: self.post(messages.Unstoppable(managed, error)))
                except Exception:
                    log.exception("the end of Ollama (pid %d) cannot be waited for", managed.pid)
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            dying.cancel()
        error: CoreError = preflight.early_exit(exit)
        if preflight.is_port_taken(exit):
            endpoint = Endpoint.parse(managed.url)
            probe = await self.observer.probe(endpoint)
            listener = await self.observer.listener(endpoint)
            if probe.answer is Answer.OLLAMA:
                error = preflight.already_running(listener)
            elif listener:
                error = preflight.port_in_use(endpoint.port, listener)
        self.post(messages.Ended(managed, exit, error))

    async def _tell_death(self, managed: Running) -> None:
        """Post Died, if the manager of a service does not tell of its end soon after."""
        if managed.is_lasting:
            await managed.died()
            await asyncio.sleep(_TOLD_SECONDS)
            self.post(messages.Died(managed))

    async def stop(self, managed: Running) -> None:
        """Stop a managed Ollama; `watch` posts its end. Posts Unstoppable if it cannot be stopped."""
        try:
            async with asyncio.timeout(_BEFORE_STOP_SECONDS):
                await self._hooks.before_stop(self.instance.id)
        except Exception:
            log.warning("What was to be done before the stop of Ollama was not", exc_info=True)
        try:
            await managed.stop()
        except StopFailed as error:
            self.post(messages.Unstoppable(managed, error))
        except Exception as error:
            self.post(messages.Unstoppable(managed, unexpected(error, StopFailed)))

    async def retry_after(self, delay: float, epoch: int) -> None:
        """Wait `delay` seconds, and post Retry."""
        await asyncio.sleep(delay)
        self.post(messages.Retry(epoch))

    async def wait_end(self, pid: int) -> None:
        """Wait for the end of a process that is not ours."""
        with suppress(OSError):
            if born := await asyncio.to_thread(birth, pid):
                await wait_end(pid, born)


@dataclass(frozen=True, slots=True)
class _News:
    """Posts what the owner in force tells. Contract: `core.owners.protocol.News`."""

    owner: str
    post: Callable[[messages.Message], None]
    adopt: Callable[[Running], Awaitable[None]]
    has_looked: asyncio.Event
    is_known: asyncio.Event = field(default_factory=asyncio.Event)

    async def found(self, running: Running) -> None:
        await self.adopt(running)

    def gave_up(self, why: str | None) -> None:
        self.post(messages.GaveUp(self.owner, why))

    def condition(self, condition: Condition) -> None:
        self.post(messages.Told(self.owner, condition))

    def looked(self, *, is_known: bool) -> None:
        self.has_looked.set()
        if is_known and not self.is_known.is_set():
            self.is_known.set()
            self.post(messages.Looked(self.owner))

    def troubled(self, why: str | None) -> None:
        self.post(messages.Troubled(self.owner, why))
