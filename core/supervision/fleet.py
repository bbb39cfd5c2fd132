"""All instances of one data folder, each with a supervisor of its own; what they share is the settings and the events.

An instance knows nothing of its neighbours: its files, its memory of failed starts and its backoff are its own. The
settings can name one as yet, `default`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from core.errors import ConfigError
from core.events.history import EventHistory
from core.owners.kinds import Owners
from core.settings.paths import DEFAULT_INSTANCE, Paths
from core.settings.reader import SettingsReader
from core.supervision.hooks import Hooks
from core.supervision.instance import Instance
from core.supervision.report import SettingsReporter
from core.supervision.supervisor import Supervisor

log = logging.getLogger(__name__)


class Fleet:
    """One `Supervisor` an instance, by id. Belongs to one loop.

    `settings` is the program's one reader of these, `events` the history that all of them publish to.
    """

    def __init__(
        self, paths: Paths, reader: SettingsReader | None = None, instances: Sequence[Instance] = (Instance(),)
    ) -> None:
        """`instances` are those that the settings name. Raises ConfigError if two of them have one id."""
        self.settings = reader or SettingsReader(paths)
        self.events = EventHistory()
        self.settings.hub.tell(SettingsReporter(self.events).on_settings)
        self.hooks = Hooks()
        self._owners = Owners(paths)
        self._supervisors: dict[str, Supervisor] = {}
        for instance in instances:
            if instance.id in self._supervisors:
                raise ConfigError(f"There are two instances {instance.id!r}.", action="Give each an id of its own.")
            self._supervisors[instance.id] = Supervisor(
                paths,
                self.settings,
                instance,
                self.events,
                self._owners,
                self.hooks,
            )

    @property
    def default(self) -> Supervisor:
        """The instance `default`. Raises KeyError if the settings name others only."""
        return self._supervisors[DEFAULT_INSTANCE]

    def __getitem__(self, instance: str) -> Supervisor:
        """The supervisor of that instance. Raises KeyError if there is none."""
        return self._supervisors[instance]

    def __iter__(self) -> Iterator[str]:
        """The ids, in the order of the settings."""
        return iter(self._supervisors)

    def __len__(self) -> int:
        return len(self._supervisors)

    async def run(self) -> None:
        """Adopt what an earlier sidecar left, then serve wishes for each instance until `close`.

        Run it once, as a task. What runs for no instance that the settings name is left alone, and logged.
        """
        sidecar = (await self.settings.fresh()).settings.sidecar
        named = [one.instance.owner or sidecar.owner for one in self._supervisors.values()]
        found = await self._owners.find(sidecar.stop_timeout, named)
        for managed in found:
            if managed.instance not in self._supervisors:
                log.warning(
                    "Ollama (pid %d) at %s runs for the instance %s, which the settings do not name; left alone",
                    managed.pid,
                    managed.url,
                    managed.instance,
                )
        async with asyncio.TaskGroup() as tasks:
            for name, supervisor in self._supervisors.items():
                tasks.create_task(supervisor.run([managed for managed in found if managed.instance == name]))

    async def follow_settings(self) -> None:
        """Have in force what the settings say now, for each instance. 2 s at most."""
        await asyncio.gather(*(supervisor.follow_settings() for supervisor in self._supervisors.values()))

    def close(self, *, stop_ollama: bool) -> None:
        """Make `run` return, with all managed Ollamas stopped or left running. Wishes are refused from now on."""
        for supervisor in self._supervisors.values():
            supervisor.close(stop_ollama=stop_ollama)
