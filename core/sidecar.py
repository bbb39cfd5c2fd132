"""The core of one running sidecar, as `api` and `tray` are given it: what they share, and nothing of how it is made.

A room that comes later (jobs, metrics, a balancer) is made here and is one more attribute.
"""

from __future__ import annotations

from core.events.history import EventHistory
from core.settings.paths import Paths
from core.settings.reader import SettingsReader
from core.supervision.fleet import Fleet
from core.supervision.supervisor import Supervisor


class Sidecar:
    """Everything of one data folder. Belongs to one loop; make it before or on that, and `run` it once, as a task.

    `settings` is the program's one reader of these, `events` the history of what happens, which every room publishes
    to, and `fleet` the supervised instances.
    """

    def __init__(self, paths: Paths, settings: SettingsReader | None = None) -> None:
        self.paths = paths
        self.fleet = Fleet(paths, settings)
        self.settings: SettingsReader = self.fleet.settings
        self.events: EventHistory = self.fleet.events

    @property
    def ollama(self) -> Supervisor:
        """The instance `default`, which the calls and menu items that name no instance are about."""
        return self.fleet.default

    async def run(self) -> None:
        """Adopt what an earlier sidecar left, then serve wishes until `close`."""
        await self.fleet.run()

    def close(self, *, stop_ollama: bool) -> None:
        """Make `run` return, with all managed Ollamas stopped or left running. Wishes are refused from now on."""
        self.fleet.close(stop_ollama=stop_ollama)
