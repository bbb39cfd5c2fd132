"""The status of one Ollama as it is published, changed by `machine` alone: no illegal move, one log line for each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from core.errors import CoreError, ShuttingDown
from core.events.snapshots import Broadcast
from core.ollama.error_texts import NOT_REACHABLE
from core.supervision import interpret
from core.supervision.observer import Observation
from core.supervision.state import State, Status, check_move

log = logging.getLogger(__name__)

Waiters = list[asyncio.Future[Status]]


def shutting_down() -> ShuttingDown:
    """The error for wishes while the sidecar shuts down."""
    return ShuttingDown("The sidecar is shutting down.")


class Published:
    """The newest `Status`, and the changes that are made to it. Belongs to the supervisor's loop."""

    def __init__(self, on_epoch: Callable[[], None]) -> None:
        """`on_epoch` is called once another state has begun, or another Ollama is there."""
        self.hub = Broadcast(Status())
        self.moved = asyncio.Event()
        """Set at each change of the state; whoever waits for it clears it."""
        self._on_epoch = on_epoch

    @property
    def status(self) -> Status:
        """The newest one."""
        return self.hub.current

    def change(self, *, fresh: bool = False, **changes: Any) -> None:
        """Change fields, the state apart. `fresh` says that Ollama has just been seen."""
        if fresh:
            changes["seen_at"] = time.monotonic()
        self.hub.publish(replace(self.hub.current, **changes))

    def move(self, state: State, **changes: Any) -> None:
        """Enter a state, or stay in it, and change fields. Raises RuntimeError if the move is not legal."""
        old = self.hub.current
        check_move(old.state, state)
        if old.state is not state:
            log.info("%s → %s%s", old.state, state, f": {error}" if (error := changes.get("failure")) else "")
            changes |= {"since": time.monotonic(), "waits_for": None, "stuck": None}
            self.moved.set()
        self.change(fresh=True, state=state, **changes)
        if old.state is not state or interpret.is_another(old, self.hub.current):
            self._on_epoch()

    def move_down(self, state: State, failure: CoreError | None, **changes: Any) -> None:
        """Enter a state in which no Ollama answers."""
        self.move(state, **interpret.NOBODY, failure=failure, error=NOT_REACHABLE, **changes)

    def apply(self, observation: Observation) -> None:
        """Change the status as `interpret` says of an observation."""
        news = interpret.interpret(self.hub.current, observation)
        if news.state is None:
            self.change(fresh=news.is_fresh, **news.changes)
        else:
            self.move(news.state, **news.changes)

    def answer(self, waiters: Waiters, error: CoreError | None = None) -> None:
        """Answer all waiters, with the newest status or with the error, and empty the list."""
        for done in waiters:
            if done.done():
                continue
            if error:
                done.set_exception(error.fresh())
            else:
                done.set_result(self.hub.current)
        waiters.clear()
