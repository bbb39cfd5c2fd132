"""From the text of `owner` in our settings to the owner itself. One of each is made, when it is first needed.

A kind's module is imported only if the settings name that kind, so that nobody pays for what they have not: libraries
for a bus, an engine or a service manager stay out of memory. To add a kind: its module in `_MADE_IN`, with a function
`make(paths, text)`, and the form of its text in `core.settings.owner.KINDS`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence

from core.errors import ConfigError, CoreError
from core.owners.logs import Logs, logs_of
from core.owners.process_owner import ProcessOwner
from core.owners.protocol import News, Owner, Plan, Running, Terms
from core.settings.owner import PROCESS, not_here, parse
from core.settings.paths import Paths

log = logging.getLogger(__name__)

_MADE_IN: dict[str, str] = {
    "container": "core.owners.container.owner",
    "launchd": "core.owners.services.launchd",
    "systemd": "core.owners.systemd.owner",
    "systemd-user": "core.owners.systemd.owner",
    "windows-service": "core.owners.services.windows",
}


class Owners:
    """The owners of one data folder, by their text in the settings. Belongs to the loop."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._made: dict[str, Owner] = {PROCESS: ProcessOwner(paths)}

    def named(self, text: str) -> Owner:
        """That owner. `text` has a valid form.

        One that is not to be had here finds nothing, and each start with it raises the error that says why.
        """
        if text not in self._made:
            self._made[text] = self._make(text)
        return self._made[text]

    async def find(self, grace: float, texts: Sequence[str]) -> list[Running]:
        """What runs already: first that of the owners in `texts`, then processes of ours. See `Owner.find`."""
        found: list[Running] = []
        for text in dict.fromkeys([*texts, PROCESS]):
            found += await self.named(text).find(grace)
        return found

    def _make(self, text: str) -> Owner:
        kind, _ = parse(text)
        if error := not_here(text):
            return _Missing(self._paths, error)
        if kind not in _MADE_IN:
            way_out = f"Set `owner` in ollama-sidecar.json to `{PROCESS}`."
            return _Missing(
                self._paths, ConfigError(f"`owner` is `{text}`, which is not supported yet", action=way_out)
            )
        try:
            made: Owner = importlib.import_module(_MADE_IN[kind]).make(self._paths, text)
        except ImportError as missing:
            log.warning("the owner %s cannot be used", text, exc_info=True)
            way_out = "Install aura-ollama anew, with all its dependencies."
            return _Missing(
                self._paths,
                ConfigError(
                    f"`owner` is `{text}`, for which a part of this program is missing: {missing.name}.", action=way_out
                ),
            )
        return made


class _Missing:
    """An owner that cannot be had here. Contract: `protocol.Owner`."""

    def __init__(self, paths: Paths, error: CoreError) -> None:
        self._paths = paths
        self._error = error

    async def find(self, grace: float) -> Sequence[Running]:
        return ()

    async def find_late(self, instance: str) -> Sequence[Running]:
        return ()

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        news.troubled(str(self._error))

    async def check(self, plan: Plan) -> None:
        raise self._error.fresh()

    async def start(self, plan: Plan) -> Running:
        raise self._error.fresh()

    async def call_off(self, instance: str) -> None:
        pass

    def logs(self, instance: str) -> Logs:
        return logs_of(self._paths, instance)
