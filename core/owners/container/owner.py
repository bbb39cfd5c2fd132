"""The owner `container:NAME`: one container of Docker or Podman that the user named. Contract: `protocol.Owner`.

Nothing of an engine is started or stopped but that container, and none is made. The engine's own restart policy is
respected: what it restarts, we do not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing

from core.endpoint import Endpoint
from core.errors import CoreError, SpawnFailed, StartUnanswered, StopFailed
from core.owners.alike import set_within, taken_back
from core.owners.container import engine
from core.owners.container.copy import LineCopy
from core.owners.container.engine import CALL_SECONDS, Engine, EngineFault, NoSuchContainer
from core.owners.container.facts import Container, places_in_words
from core.owners.container.running import ContainerRun, birth_of, how_to_publish
from core.owners.copied import LogCopy
from core.owners.logs import Logs, logs_of
from core.owners.protocol import Condition, News, Plan, Terms
from core.settings.paths import Paths

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 5.0


def make(paths: Paths, text: str) -> ContainerOwner:
    """The owner of a text such as `container:ollama`. Contract: `core.owners.kinds`."""
    return ContainerOwner(paths, text)


class ContainerOwner:
    """Runs the Ollama of one container. `text` is `container:NAME`."""

    def __init__(self, paths: Paths, text: str) -> None:
        self.text = text
        self.name = text.partition(":")[2]
        self._paths = paths
        self._copies: dict[str, LineCopy] = {}
        self._was_started = asyncio.Event()

    async def find(self, grace: float) -> Sequence[ContainerRun]:
        """Contract: `Owner.find`. None: which instance has this owner is known to `attend` only."""
        return ()

    async def find_late(self, instance: str) -> Sequence[ContainerRun]:
        """Contract: `Owner.find_late`."""
        return ()

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        """Contract: `Owner.attend`."""
        if instance not in self._copies:
            self._copies[instance] = LineCopy(LogCopy(self._paths, instance, self.text, terms.caps))
        copying = asyncio.create_task(self._copies[instance].keep(self.located))
        try:
            await self._attend(instance, terms, news)
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)

    async def _attend(self, instance: str, terms: Terms, news: News) -> None:
        pause = _RETRY_SECONDS
        told: tuple[str, str] | None = None
        is_awaited = False
        condition = Condition()
        while True:
            try:
                at, container = await self.located()
                async with aclosing(at.events(self.name)) as events:
                    async for _ in events:
                        container = await at.inspect(self.name)
                        news.troubled(None)
                        pause = _RETRY_SECONDS
                        if container.condition != condition:
                            condition = container.condition
                            news.condition(condition)
                        if container.runs and container.run != told:
                            told, is_awaited = container.run, True
                            self._copies[instance].hurry()
                            await news.found(await self._run(at, container, instance, terms.grace))
                        elif is_awaited and not (container.runs or container.state.restarting):
                            is_awaited = False
                            code = container.exit_code
                            if not container.restarts_after(code):
                                news.gave_up(f"Its engine gave up on the container {self.name}." if code else None)
                        news.looked(is_known=True)
            except EngineFault as fault:
                news.troubled(fault.message if not fault.action else f"{fault.message} {fault.action}")
            except Exception:
                log.exception("the container %s cannot be attended to", self.name)
            news.looked(is_known=False)
            if await set_within(self._was_started, pause):
                self._was_started.clear()
                pause = _RETRY_SECONDS
            else:
                pause = min(pause * 1.5, _LONGEST_RETRY_SECONDS)

    async def call_off(self, instance: str) -> None:
        """Contract: `Owner.call_off`."""
        try:
            at, container = await self.located()
            await at.stop(container.id, CALL_SECONDS)
        except EngineFault as fault:
            raise StopFailed(fault.message, action=fault.action) from fault

    async def check(self, plan: Plan) -> None:
        """Contract: `Owner.check`. Refuses a container whose Ollama would not be had at the plan's address."""
        await self._checked(plan)

    async def start(self, plan: Plan) -> ContainerRun:
        """Contract: `Owner.start`. Within 30 s."""
        at, container = await self._checked(plan)
        try:
            if not container.runs:
                container = await self._start(at, container, plan.grace)
        except asyncio.CancelledError:
            await taken_back(self._take_back(at, container.id, plan.grace))
            raise
        except EngineFault as fault:
            if not fault.is_away:
                raise _not_started(fault) from fault
            raise StartUnanswered(self._unknown(fault), action=fault.action) from fault
        self._was_started.set()
        if plan.instance in self._copies:
            self._copies[plan.instance].hurry()
        return await self._run(at, container, plan.instance, plan.grace)

    async def _start(self, at: Engine, before: Container, grace: float) -> Container:
        """Have it started, and return it as it then runs. Raises EngineFault."""
        if before.state.restarting:
            # While the engine waits before a restart of its own, a start would do nothing.
            await at.stop(before.id, grace)
        await at.start(before.id)
        deadline = time.monotonic() + CALL_SECONDS
        now = await at.inspect(before.id)
        while now.state.restarting and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            now = await at.inspect(before.id)
        if not now.runs:
            why = now.state.error or f"it ended at once, with exit code {now.state.exit_code}"
            raise EngineFault(f"The container {self.name} was started, and does not run: {why}.")
        return now

    async def _take_back(self, at: Engine, id: str, grace: float) -> None:
        """Have the engine end what it was told to start; it does one after the other. Raises StopFailed."""
        try:
            await at.stop(id, grace)
        except NoSuchContainer:
            pass
        except EngineFault as fault:
            raise StopFailed(self._unknown(fault), action=fault.action) from fault

    def _unknown(self, fault: EngineFault) -> str:
        return f"Whether the container {self.name} was started is not known: {fault.message}"

    def logs(self, instance: str) -> Logs:
        """Contract: `Owner.logs`."""
        return logs_of(self._paths, instance)

    async def _checked(self, plan: Plan) -> tuple[Engine, Container]:
        try:
            at, container = await self.located()
        except EngineFault as fault:
            raise _not_started(fault) from fault
        if container.state.paused:
            raise SpawnFailed(
                f"The container {self.name} is paused.", action=f"Go on with it by: docker unpause {self.name}"
            )
        if container.answers(Endpoint.parse(plan.url)) is False:
            raise SpawnFailed(
                f"The container {self.name} does not publish its Ollama at {plan.url}, but at "
                f"{places_in_words(container)}.",
                action=how_to_publish(container, plan.url),
            )
        return at, container

    async def located(self) -> tuple[Engine, Container]:
        """The engine that has the container, and the container. Raises EngineFault."""
        found: list[tuple[Engine, Container]] = []
        faults: list[EngineFault] = []
        for url in await engine.sockets():
            at = Engine(url)
            try:
                found.append((at, await at.inspect(self.name)))
            except EngineFault as fault:
                faults.append(fault)
        if len(found) > 1:
            places = " and ".join(at.place for at, _ in found)
            raise EngineFault(
                f"There is a container {self.name} at {places}.", "Name the one that is meant in DOCKER_HOST."
            )
        if found:
            return found[0]
        # A refusal says more than that another engine knows no such container.
        raise next((fault for fault in faults if not isinstance(fault, NoSuchContainer)), faults[0])

    async def _run(self, at: Engine, container: Container, instance: str, grace: float) -> ContainerRun:
        born = await asyncio.to_thread(birth_of, container)
        return ContainerRun(at, container, born, instance, self.text, self.logs(instance), grace)


def _not_started(fault: EngineFault) -> CoreError:
    return SpawnFailed(fault.message, action=fault.action)
