"""What an owner measures, made a tree of: nothing is made up, and processor time only rises."""

from __future__ import annotations

import asyncio
import time

from core.metrics.readings import ReadingMeter
from core.owners.protocol import Reading


def test_time_rises_over_the_end_of_a_run_and_a_share_needs_two_readings() -> None:
    meter = ReadingMeter(asyncio.create_task)
    first = meter.tree(Reading(100.0, 2.0, 5000, 7))
    assert (first.cpu_seconds, first.cpu, first.memory, first.threads) == (2.0, None, 5000, 7)
    # The clock of Windows goes on every 16 ms only, and there is no share of no time.
    now = time.monotonic()
    while time.monotonic() == now:
        pass
    second = meter.tree(Reading(100.0, 3.0, 6000, 8))
    assert second.cpu_seconds == 3.0
    assert second.cpu
    # Another run counts from zero.
    third = meter.tree(Reading(200.0, 0.5, 1000, 3))
    assert third.cpu_seconds == 3.5
    assert third.started_at == 200.0


def test_what_an_owner_does_not_know_is_none() -> None:
    tree = ReadingMeter(asyncio.create_task).tree(Reading(100.0, None, None, None))
    unknown = (tree.processes, tree.cpu_seconds, tree.cpu, tree.memory, tree.threads, tree.open_files, tree.runners)
    assert unknown == (None,) * 7
