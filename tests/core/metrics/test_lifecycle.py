"""Starts, restarts and crashes, from statuses as the supervisor publishes them."""

from __future__ import annotations

import pytest

from core.metrics.lifecycle import Lifecycle
from core.supervision.state import State, Status


def test_starts_are_timed_and_what_goes_wrong_is_counted() -> None:
    """A restart by ourselves counts once; a new wish, which begins anew, takes nothing back."""
    counts = Lifecycle()
    for status in (
        Status(State.STOPPED, since=1.0),
        Status(State.STARTING, since=2.0),
        Status(State.STARTING, since=2.0, pid=7),
        Status(State.RUNNING, since=2.5, pid=7),
        Status(State.BACKOFF, since=9.0, restarts=1),
        Status(State.STARTING, since=10.0, restarts=1),
        Status(State.BACKOFF, since=11.0, restarts=2),
        Status(State.STARTING, since=12.0, restarts=2),
        Status(State.RUNNING, since=13.0, restarts=2),
        Status(State.STOPPING, since=14.0),
        Status(State.STOPPED, since=15.0),
        Status(State.STARTING, since=20.0),
        Status(State.STOPPING, since=21.0),
        Status(State.STOPPED, since=22.0),
        Status(State.EXTERNAL, since=30.0),
        Status(State.STOPPED, since=31.0),
        Status(State.STARTING, since=32.0),
        Status(State.FAILED, since=33.0),
    ):
        counts.on_status(status)
    assert counts.starts.count == 2
    assert counts.starts.seconds == pytest.approx(1.5)
    assert (counts.restarts, counts.failed_starts, counts.crashes) == (2, 2, 1)
