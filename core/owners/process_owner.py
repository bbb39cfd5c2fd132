"""The owner `process`: each Ollama is the child of a shim of its own, which outlives the sidecar. The default."""

from __future__ import annotations

import logging

from core.owners import spawn
from core.owners.adopt import adopt
from core.owners.logs import Logs, logs_of
from core.owners.process import Managed
from core.owners.protocol import Plan
from core.settings.paths import Paths
from core.threads.single_flight import within

log = logging.getLogger(__name__)

_FIND_SECONDS = 15.0


class ProcessOwner:
    """Runs the Ollamas of one data folder. Contract: `protocol.Owner`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    async def find(self, grace: float) -> list[Managed]:
        """Contract: `Owner.find`. By their run records; takes up to 10 s where one cannot be read at first."""
        try:
            return await within(_FIND_SECONDS, "adopt", lambda: adopt(self._paths.run, grace))
        except Exception:
            log.exception("what an earlier sidecar left in %s cannot be looked at", self._paths.run)
            return []

    async def check(self, plan: Plan) -> None:
        """Contract: `Owner.check`. Refuses to write over the record of an Ollama that lives."""
        await spawn.check(plan)

    async def start(self, plan: Plan) -> Managed:
        """Contract: `Owner.start`. Within 18 s."""
        return await spawn.spawn(plan)

    def logs(self, instance: str) -> Logs:
        """Contract: `Owner.logs`."""
        return logs_of(self._paths, instance)
