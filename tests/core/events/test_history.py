"""The history of events: numbers that rise by one, readers that wait, and what is told to those who come late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Crashed
from core.events.history import MOST_AT_ONCE, MOST_EVENTS, EventHistory, EventType
from core.owners.exit import Exit
from core.settings.reader import Settings, SidecarSettings
from core.supervision.report import SettingsReporter, StatusReporter
from core.supervision.state import State, Status
from tests import tied

DEADLINE = tied.seconds(8.0)


def filled(count: int) -> EventHistory:
    """A history with that many events."""
    history = EventHistory()
    for number in range(1, count + 1):
        history.publish(EventType.JOB, "default", {"number": number})
    return history


async def read(history: EventHistory, number: int, until: int) -> tuple[list[int], int]:
    """The numbers of all events after `number` up to `until`, and how many were lost."""
    found: list[int] = []
    lost = 0
    while number < until:
        batch = await history.after(number)
        lost += batch.lost
        assert 0 < len(batch.events) <= MOST_AT_ONCE
        found += [event.number for event in batch.events]
        number = found[-1]
    return found, lost


@given(st.integers(1, 3 * MOST_EVENTS), st.data())
def test_a_reader_gets_all_after_the_last_one_that_it_had_or_learns_how_many_are_lost(
    count: int, data: st.DataObject
) -> None:
    last = data.draw(st.integers(0, count - 1))
    found, lost = asyncio.run(read(filled(count), last, count))
    oldest = max(1, count - MOST_EVENTS + 1)
    assert found == list(range(max(last + 1, oldest), count + 1))
    assert lost == found[0] - last - 1


async def test_who_has_everything_waits_for_the_next_and_a_wait_that_is_given_up_loses_nothing() -> None:
    history = filled(3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await history.after(3)
    waiting = [asyncio.create_task(history.after(3)) for _ in range(5)]
    await asyncio.sleep(0)
    history.publish(EventType.JOB, "default", {"number": 4})
    async with asyncio.timeout(DEADLINE):
        batches = await asyncio.gather(*waiting)
    assert [[event.number for event in batch.events] for batch in batches] == [[4]] * 5


def test_an_id_is_known_in_its_own_run_only() -> None:
    history, other = filled(5), filled(5)
    assert history.number_of(history.id_of(5)) == 5
    assert history.number_of(history.id_of(0)) == 0
    assert history.number_of(history.id_of(6)) is None
    assert history.number_of(other.id_of(3)) is None
    for text in ("", "5", "x-5", f"{history.epoch}-", f"{history.epoch}-x", f"{history.epoch}--1", "00000000-٣"):
        with pytest.raises(ValueError, match="is no id"):
            history.number_of(text)


def reported(*statuses: Status, log: str | None = None) -> list[tuple[EventType, object]]:
    """What is published of these, one after the other."""
    history = EventHistory()
    reporter = StatusReporter(history, lambda: log)
    for status in statuses:
        reporter.on_status(status)
    return [(event.type, event.data) for event in history._ring]


def test_each_change_that_a_status_shows_is_an_event_and_nothing_else_is() -> None:
    stopped = Status(state=State.STOPPED)
    assert reported(stopped, stopped) == [(EventType.STATUS, stopped)]
    assert reported(Status(last_exit=Exit(1, "", None)), Status(since=3.0)) == []
    failed = Status(state=State.FAILED, failure=Crashed("x"))
    assert [kind for kind, _ in reported(stopped, failed)] == [EventType.STATUS] * 2


def test_a_new_log_is_told_once_a_start_has_its_process() -> None:
    starting = Status(state=State.STARTING)
    told = reported(
        starting,
        Status(state=State.STARTING, pid=7),
        Status(state=State.STARTING, pid=7, error="Not reachable"),
        Status(state=State.RUNNING, pid=7),
        log=str(Path("/logs") / "ollama-20240101-000000.log"),
    )
    assert [data for kind, data in told if kind is EventType.LOG] == [{"file": "ollama-20240101-000000.log"}]


def test_a_change_of_the_settings_names_the_keys_and_no_value() -> None:
    history = EventHistory()
    reporter = SettingsReporter(history)
    first = Settings()
    reporter.on_settings(None)
    reporter.on_settings((first, None))
    changed = Settings(ollama_url="http://127.0.0.1:9", sidecar=SidecarSettings(env={"SECRET": "abcdef"}))
    reporter.on_settings((changed, None))
    reporter.on_settings((changed, "line 1: bad"))
    assert [event.data for event in history._ring] == [
        {"changed": ["ollamaUrl", "env"], "settingsError": None},
        {"changed": [], "settingsError": "line 1: bad"},
    ]
