"""How often an Ollama was started, came back after a crash, and how long starts took: from its statuses. Pure."""

from __future__ import annotations

from core.metrics.requests import Latencies
from core.supervision.state import State, Status


class Lifecycle:
    """The counts of one instance, since the sidecar runs. Told of each status, in order."""

    def __init__(self) -> None:
        self.restarts = 0
        """After crashes, by ourselves."""
        self.starts = Latencies()
        """Seconds from the wish to the first answer, of starts that came that far."""
        self.failed_starts = 0
        self.crashes = 0
        self._status = Status()

    def on_status(self, status: Status) -> None:
        """Count what is new in it."""
        before, self._status = self._status, status
        self.restarts += max(0, status.restarts - before.restarts)
        if before.state is State.STARTING and status.state is State.RUNNING:
            self.starts.add(status.since - before.since)
        if before.state is State.STARTING and status.state in (State.FAILED, State.BACKOFF):
            self.failed_starts += 1
        if before.state is State.RUNNING and status.state in (State.FAILED, State.BACKOFF):
            self.crashes += 1
