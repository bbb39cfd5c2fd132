"""The core of one running sidecar, as `api` and `tray` are given it: what they share, and nothing of how it is made.

A room that comes later (a balancer) is made here and is one more attribute.
"""

from __future__ import annotations

import asyncio

from core.events.history import EventHistory
from core.jobs.jobs import Jobs
from core.metrics.meters import Meters
from core.models.gpu import GpuSettings
from core.models.models import Changed, Models
from core.ollama.model_name import ModelName
from core.owners.logs import logs_of
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision.fleet import Fleet
from core.supervision.supervisor import Supervisor
from core.tickets import Tickets


class Sidecar:
    """Everything of one data folder. Belongs to one loop; make it before or on that, and `run` it once, as a task.

    `settings` is the program's one reader of these, `events` the history of what happens, which every room publishes
    to, `fleet` the supervised instances, `models` what they have, `gpu` what they compute on, `jobs` the pulls of more,
    and `metrics` what they cost and how they answer.
    """

    def __init__(self, paths: Paths, settings: SettingsReader | None = None) -> None:
        self.paths = paths
        self.fleet = Fleet(paths, settings)
        self.settings: SettingsReader = self.fleet.settings
        self.events: EventHistory = self.fleet.events
        self.models = Models(self.fleet)
        self.gpu = GpuSettings(paths, self.settings)
        self.tickets = Tickets()
        self.jobs = Jobs(paths, self.fleet, self.events)
        self.fleet.hooks.start_environment = self.jobs.start_environment
        self.fleet.hooks.before_stop = self.jobs.pause
        self.metrics = Meters(self.fleet, self.events, lambda instance: logs_of(paths, instance), self.jobs.received)

    @property
    def ollama(self) -> Supervisor:
        """The instance `default`, which the calls and menu items that name no instance are about."""
        return self.fleet.default

    async def page_address(self, url: str) -> str:
        """The address at which a browser of this user's opens the page of the sidecar at `url`.

        Where the token is required it bears a ticket, in the fragment, which no server and no log gets to see.
        """
        is_required = (await self.settings.fresh()).settings.sidecar.require_token
        return f"{url}/#ticket={self.tickets.issue()}" if is_required else f"{url}/"

    async def load_model(self, instance: str, name: str) -> Changed:
        """Have a model of that instance in memory; returns once it is, 10 min at most. The answer's words say so.

        Raises KeyError for an instance that there is not, BadModelName, and what `Models.load` raises.
        """
        return await self.models.load(instance, ModelName.parse(name))

    async def unload_model(self, instance: str, name: str) -> Changed:
        """Take a model of that instance out of memory; the answer's words say what came of it, within 20 s.

        Raises KeyError for an instance that there is not, BadModelName, and what `Models.unload` raises.
        """
        return await self.models.unload(instance, ModelName.parse(name))

    async def run(self) -> None:
        """Adopt what an earlier sidecar left, go on with its jobs, then serve wishes until `close`."""
        # First, since a start has to know of the downloads that are to go on.
        await self.jobs.load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.jobs.run())
            metering = tasks.create_task(self.metrics.run())
            await self.fleet.run()
            self.jobs.close()
            metering.cancel()

    def close(self, *, stop_ollama: bool) -> None:
        """Make `run` return, with all managed Ollamas stopped or left running. Wishes are refused from now on."""
        # First, so that Ollama can put away what it has of a download before it is stopped.
        self.jobs.close()
        self.fleet.close(stop_ollama=stop_ollama)
