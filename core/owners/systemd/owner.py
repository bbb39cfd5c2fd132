"""Has systemd start and stop one service, and tells what happens to it without us. Contract: `protocol.Owner`.

A start or a stop is a job of systemd, whose result is awaited (`JobRemoved`), over a connection of its own. What
becomes of the unit otherwise, `watch` tells. Rights are polkit's: on a desktop it may ask the user for a password.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from dbus_fast import Message

from core.errors import CoreError, RunsElsewhere, SpawnFailed, StartUnanswered, StopFailed
from core.owners.alike import taken_back
from core.owners.copied import LogCopy
from core.owners.logs import Logs, logs_of
from core.owners.protocol import News, Plan, Running, Terms
from core.owners.systemd.bus import MANAGER, MANAGER_PATH, Bus, BusTrouble, Refused, connected
from core.owners.systemd.environment import EnvironmentFiles
from core.owners.systemd.journal import Journal
from core.owners.systemd.service import Service
from core.owners.systemd.unit import Unit, look
from core.owners.systemd.watch import Watch
from core.settings.owner import parse
from core.settings.paths import Paths

# The user may be asked for a password meanwhile.
_ASKED_SECONDS = 60.0
_START_SECONDS = 100.0
_MARGIN_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_UNTAKEN_SECONDS = 0.25
_DENIED = (
    "org.freedesktop.DBus.Error.AccessDenied",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    "org.freedesktop.PolicyKit1.Error.NotAuthorized",
)


def make(paths: Paths, text: str) -> SystemdOwner:
    """The owner with that text in the settings."""
    kind, name = parse(text)
    return SystemdOwner(paths, text, name, is_user=kind == "systemd-user")


class SystemdOwner:
    """Controls one unit. Contract: `protocol.Owner`."""

    def __init__(self, paths: Paths, text: str, name: str, *, is_user: bool) -> None:
        self._paths = paths
        self._text = text
        self._name = name
        self._is_user = is_user
        self._files = EnvironmentFiles()
        self._watch = Watch(name, self._files, is_user=is_user)
        self._copying = threading.Lock()
        self._service: Service | None = None

    async def find(self, grace: float) -> Sequence[Running]:
        """Contract: `Owner.find`. `attend` tells of it, at its beginning."""
        return ()

    async def find_late(self, instance: str) -> Sequence[Running]:
        """Contract: `Owner.find_late`. `attend` tells of it."""
        return ()

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        """Contract: `Owner.attend`."""
        copy = LogCopy(self._paths, instance, self._text, terms.caps)
        journal = Journal(self._name, copy, self._copying, is_user=self._is_user)
        self._service = None
        self._watch.forget()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(journal.run())
            was_restarting = False
            trouble: str | None = ""
            while True:
                unit = self._watch.unit
                found = (
                    self._watch.trouble or journal.trouble or (self._disagreement(unit, terms.url) if unit else None)
                )
                if found != trouble:
                    trouble = found
                    news.troubled(found)
                pause = _LOOK_SECONDS
                if unit is not None and self._watch.trouble is None:
                    copy.conceal(unit.environment)
                    if unit.is_up and not self._is_taken(unit):
                        self._service = self._running(unit, instance, terms.url)
                        await news.found(self._service)
                        pause = _UNTAKEN_SECONDS
                    elif was_restarting and not unit.is_up and not unit.is_restarting and not unit.is_ending:
                        news.gave_up(f"{unit.why_failed()} systemd has given up." if unit.active == "failed" else None)
                    was_restarting = unit.is_restarting or (was_restarting and unit.is_ending and not unit.is_up)
                if unit is not None or self._watch.trouble is not None:
                    news.looked(is_known=self._watch.trouble is None)
                await self._watch.wait(pause)

    def _is_taken(self, unit: Unit) -> bool:
        """Whether the supervisor has this start of it already."""
        service = self._service
        return service is not None and service.invocation == unit.invocation and service.is_watched

    def _disagreement(self, unit: Unit, url: str) -> str | None:
        """What the user should know of it while it goes on."""
        if unit.needs_reload:
            way_out = f"run `{unit.systemctl} daemon-reload`"
            return f"{self._name} was edited, and systemd still uses its former text: {way_out}."
        if unit.load == "loaded" and not unit.listens_at(url):
            if unit.unread:
                return (
                    f"{self._name} takes variables from {unit.unread[0]}, which cannot be read here: whether it "
                    f"listens at {url} is not known. {unit.how_to_move(url)}"
                )
            return f"{self._name} listens at {unit.url()}, but ollamaUrl is {url}. {unit.how_to_move(url)}"
        return None

    async def check(self, plan: Plan) -> None:
        """Contract: `Owner.check`."""
        try:
            async with connected(is_user=self._is_user) as bus:
                self._refuse(await look(bus, self._name, self._files, is_user=self._is_user), plan)
        except (BusTrouble, Refused) as error:
            raise self._not_started(error) from error

    def _refuse(self, unit: Unit, plan: Plan) -> None:
        """Raise the error that says why it cannot be started for that plan, if it cannot."""
        if why := unit.why_not_startable():
            raise SpawnFailed(why[0], action=why[1])
        # Of one whose variables cannot be read, only its answer tells where it listens.
        if not unit.listens_at(plan.url) and not unit.unread:
            raise RunsElsewhere(
                f"ollamaUrl is {plan.url}, but {self._name} listens at {unit.url()}.", action=unit.how_to_move(plan.url)
            )

    async def start(self, plan: Plan) -> Service:
        """Contract: `Owner.start`."""
        is_asked = False
        try:
            async with connected(is_user=self._is_user) as bus:
                before = await look(bus, self._name, self._files, is_user=self._is_user)
                self._refuse(before, plan)
                # While systemd waits before a restart of its own, a start would wait as well.
                job, is_asked = "RestartUnit" if before.is_restarting else "StartUnit", True
                result = await self._run_job(bus, before, job, _START_SECONDS)
                unit = await look(bus, self._name, self._files, is_user=self._is_user)
        except asyncio.CancelledError:
            if is_asked:
                # This job takes the place of the one that starts it.
                await taken_back(self._stop())
            raise
        except BusTrouble as trouble:
            if not is_asked:
                raise self._not_started(trouble) from trouble
            raise StartUnanswered(f"Whether {self._name} was started is not known: {trouble}") from trouble
        except Refused as refusal:
            raise self._not_started(refusal) from refusal
        if not unit.is_up:
            why = unit.why_failed() if unit.active == "failed" else f"{self._name} has ended at once ({result})."
            raise SpawnFailed(why, action="The log has the whole story.")
        self._watch.note(unit)
        self._service = self._running(unit, plan.instance, plan.url)
        return self._service

    async def call_off(self, instance: str) -> None:
        """Contract: `Owner.call_off`."""
        await self._stop()

    async def _stop(self) -> None:
        """Have systemd stop it. Raises StopFailed."""
        try:
            async with connected(is_user=self._is_user) as bus:
                unit = await look(bus, self._name, self._files, is_user=self._is_user)
                result = await self._run_job(bus, unit, "StopUnit", unit.stop_seconds + _MARGIN_SECONDS)
        except (BusTrouble, Refused) as error:
            raise self._error(StopFailed, "stopped", error) from error
        finally:
            self._watch.poke()
        if result != "done":
            raise StopFailed(f"{self._name} was not stopped: systemd's job ended as `{result}`.")

    async def _run_job(self, bus: Bus, unit: Unit, member: str, seconds: float) -> str:
        """Have systemd do a job about the unit, and return its result, such as `done` or `failed`."""
        results: dict[str, str] = {}
        has_result = asyncio.Event()

        def on_signal(message: Message) -> None:
            if message.member == "JobRemoved":
                results[message.body[1]] = message.body[3]
                has_result.set()

        await bus.subscribe(unit.path, on_signal)
        job = await self._ask(bus, member, _ASKED_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                while job not in results:
                    has_result.clear()
                    await has_result.wait()
        except TimeoutError:
            raise BusTrouble(f"systemd has not done it within {seconds:g} s.") from None
        return results[job]

    async def _ask(self, bus: Bus, member: str, seconds: float) -> str:
        """Have a job made. Returns its path."""
        body = [self._name, "replace"]
        (job,) = await bus.call(MANAGER_PATH, MANAGER, member, "ss", body, is_interactive=True, seconds=seconds)
        return str(job)

    def _running(self, unit: Unit, instance: str, url: str) -> Service:
        return Service(unit, instance, url, self.logs(instance), self._watch, self._stop)

    def _not_started(self, error: BusTrouble | Refused) -> CoreError:
        return self._error(SpawnFailed, "started", error)

    def _error(self, kind: type[CoreError], done: str, error: BusTrouble | Refused) -> CoreError:
        if isinstance(error, Refused) and error.name in _DENIED:
            return kind(
                f"{self._name} was not {done}: systemd lets only an administrator do that ({str(error).rstrip('.')}).",
                action="Do it as one with `sudo systemctl`, or have polkit allow you "
                f"`org.freedesktop.systemd1.manage-units` for {self._name}.",
            )
        return kind(f"{self._name} was not {done}: {error}")

    def logs(self, instance: str) -> Logs:
        """Contract: `Owner.logs`."""
        return logs_of(self._paths, instance)
