"""The owner `process`: each Ollama is the child of a shim of its own, which outlives the sidecar. The default."""

from __future__ import annotations

import logging
from pathlib import Path

from core.owners import shim_start
from core.owners.adopt import Adoption, adopt, adopt_late
from core.owners.logs import Logs, logs_of
from core.owners.process import Managed
from core.owners.protocol import News, Plan, Terms
from core.settings.paths import Paths
from core.threads.single_flight import SingleFlight, within

log = logging.getLogger(__name__)

_FIND_SECONDS = 15.0
_LATE_SECONDS = 1.0


class ProcessOwner:
    """Runs the Ollamas of one data folder. Contract: `protocol.Owner`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._grace = 0.0
        self._unread: list[Path] = []
        # Instances whose records could all be read meanwhile.
        self._known: set[str] = set()
        self._adopting = SingleFlight("adopt", lambda: adopt_late(paths.run, self._grace))

    async def find(self, grace: float) -> list[Managed]:
        """Contract: `Owner.find`. By their run records. Takes 15 s at most, and only ms if all records can be read."""
        self._grace = grace
        try:
            found, self._unread = await within(_FIND_SECONDS, "adopt", lambda: adopt(self._paths.run, grace))
        except Exception:
            log.exception("what an earlier sidecar left in %s cannot be read", self._paths.run)
            found, self._unread = Adoption([], [self._paths.run])
        return found

    async def find_late(self, instance: str) -> list[Managed]:
        """Contract: `Owner.find_late`. Within a second."""
        if not self._unread or instance in self._known:
            return []
        try:
            found, unread = await self._adopting.run(_LATE_SECONDS)
        except (TimeoutError, OSError):
            return []
        if not unread:
            self._known.add(instance)
        return [managed for managed in found if managed.instance == instance]

    async def check(self, plan: Plan) -> None:
        """Contract: `Owner.check`. Refuses to write over the record of an Ollama that lives."""
        await shim_start.check(plan)

    async def start(self, plan: Plan) -> Managed:
        """Contract: `Owner.start`. Within 18 s (Windows: 28 s)."""
        return await shim_start.start_shim(plan)

    async def attend(self, instance: str, terms: Terms, news: News) -> None:
        """Contract: `Owner.attend`. Nothing begins here without us, and each shim writes its own log."""

    async def call_off(self, instance: str) -> None:
        """Contract: `Owner.call_off`. A shim never starts an Ollama again."""

    def logs(self, instance: str) -> Logs:
        """Contract: `Owner.logs`."""
        return logs_of(self._paths, instance)
