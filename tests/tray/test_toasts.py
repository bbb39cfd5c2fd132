"""Which news are told, once each."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import (
    AlreadyRunning,
    CoreError,
    Crashed,
    CrashLoop,
    NothingManaged,
    PathInvalid,
    ShuttingDown,
    SpawnFailed,
    StopFailed,
    Superseded,
)
from core.supervision.backoff import STABLE
from core.supervision.state import State, Status, Wish
from core.text import units
from tray.menu import Act, Command
from tray.toasts import OPEN_LOG, TEXT_UNITS, TITLE_UNITS, Kind, Toast, Toaster, Topic

LOG = Command(Act.OPEN_NEWEST_LOG)
PAGE = Command(Act.OPEN_DASHBOARD)


def titles(toaster: Toaster, *statuses: Status) -> list[str]:
    """The titles of the toasts for these statuses, one after the other."""
    return [toast.title for old, new in pairwise(statuses) if (toast := toaster.moved(old, new))]


STOPPED = Status(State.STOPPED, error="Not reachable")
STARTING = Status(State.STARTING, error="Not reachable")
RUNNING = Status(State.RUNNING, pid=1, version="0.9.3", url="http://127.0.0.1:11434")
STOPPING = Status(State.STOPPING)
EXTERNAL = Status(State.EXTERNAL, pid=2)


def test_a_start_and_a_stop_are_told() -> None:
    assert titles(Toaster(), Status(), STOPPED, STARTING, RUNNING, STOPPING, STOPPED) == [
        "Ollama Started",
        "Ollama Stopped",
    ]


def test_an_external_ollama_comes_and_goes_in_silence() -> None:
    assert titles(Toaster(), Status(), STOPPED, EXTERNAL, STOPPED) == []


def test_an_adopted_one_is_told() -> None:
    adopted = Status(State.RUNNING, pid=1, adopted=True)
    assert titles(Toaster(), Status(), adopted) == ["Ollama Was Still Running"]


def test_a_failed_start_is_one_toast_though_it_comes_as_a_move_and_as_an_error() -> None:
    toaster = Toaster()
    error = SpawnFailed("Ollama ended with exit code 3", action="The log has the whole story.")
    failed = Status(State.FAILED, failure=error)
    toast = toaster.moved(STARTING, failed)
    assert toast is not None
    assert (toast.title, toast.text) == (
        "Failed to Start Ollama",
        "Ollama ended with exit code 3. The log has the whole story.",
    )
    assert toaster.refused(error, Act.START) is None


def test_a_crash_loop_is_told_when_it_begins_and_when_it_is_given_up() -> None:
    crash = [Status(State.BACKOFF, failure=Crashed("x"), restarts=number) for number in (1, 2, 3)]
    again = [Status(State.RUNNING, pid=number, restarts=number) for number in (1, 2, 3)]
    end = Status(State.FAILED, failure=CrashLoop("Given up after 6 crashes."), restarts=3)
    path = [RUNNING, crash[0], STARTING, again[0], crash[1], STARTING, again[1], crash[2], STARTING, again[2], end]
    assert titles(Toaster(), *path) == ["Ollama Crashed", "Ollama Keeps Crashing"]
    assert titles(Toaster(), *path, STARTING, RUNNING)[-1] == "Ollama Started"


def test_an_ollama_that_is_stuck_is_told_each_time_it_becomes_so() -> None:
    """With what the canary found; that it goes on again is for the icon alone."""
    stuck = replace(RUNNING, stuck="It makes no token.")
    assert titles(Toaster(), RUNNING, stuck, replace(stuck, loaded=("x",)), RUNNING) == ["Ollama Is Stuck"]
    toast = Toaster().moved(RUNNING, stuck)
    assert toast is not None
    assert toast.text == "It makes no token."


def test_a_hang_is_told_once() -> None:
    hanging = Status(State.RUNNING, pid=1, error="Connection timeout")
    later = Status(State.RUNNING, pid=1, error="Connection timeout", loaded=("x",))
    assert titles(Toaster(), RUNNING, hanging, later) == ["Ollama Does Not Answer"]


def test_a_refused_click_is_told_with_its_way_out() -> None:
    toaster = Toaster()
    toast = toaster.refused(AlreadyRunning("Use the existing instance.", action="It belongs to bob."), Act.START)
    assert toast is not None
    assert (toast.title, toast.text) == ("Ollama Already Running", "Use the existing instance. It belongs to bob.")
    toast = toaster.refused(PathInvalid("Ollama path does not exist"), Act.START)
    assert toast is not None
    assert toast.title == "Failed to Start Ollama"
    assert toaster.refused(Superseded("stopped"), Act.START) is None


def test_a_hang_that_comes_and_goes_is_told_once_for_each_ollama() -> None:
    hanging = replace(RUNNING, error="Connection timeout")
    path = [RUNNING, hanging, RUNNING, hanging, RUNNING, hanging]
    other = [replace(status, pid=2) for status in path]
    assert titles(Toaster(), *path) == ["Ollama Does Not Answer"]
    assert titles(Toaster(), *path, STOPPED, *other).count("Ollama Does Not Answer") == 2


def test_one_that_cannot_be_reached_is_about_to_be_found_dead_and_makes_no_toast_of_its_own() -> None:
    assert titles(Toaster(), RUNNING, replace(RUNNING, error="Not reachable")) == []


def test_a_start_is_told_though_the_snapshots_in_between_were_missed() -> None:
    assert titles(Toaster(), STOPPED, RUNNING) == ["Ollama Started"]
    assert titles(Toaster(), RUNNING, replace(RUNNING, pid=2)) == ["Ollama Started"]


@pytest.mark.parametrize("adopted", [False, True])
def test_a_stop_that_failed_is_told_once_and_is_no_start(adopted: bool) -> None:
    toaster = Toaster()
    error = StopFailed("Its tree is still alive.")
    running = replace(RUNNING, adopted=adopted)
    assert titles(toaster, running, STOPPING, replace(running, failure=error)) == ["Failed to Stop Ollama"]
    assert toaster.refused(error, Act.STOP) is None


def test_a_clicked_restart_is_one_toast() -> None:
    toaster = Toaster()
    toaster.asked(Act.RESTART)
    assert titles(toaster, RUNNING, STOPPING, STOPPED, STARTING, RUNNING) == ["Ollama Started"]
    assert titles(toaster, RUNNING, STOPPING, STOPPED) == ["Ollama Stopped"]


def test_a_stop_on_the_way_to_another_start_is_not_told() -> None:
    assert titles(Toaster(), STOPPING, replace(STOPPED, wanted=Wish.UP), STARTING, RUNNING) == ["Ollama Started"]


def test_a_crash_after_a_stable_run_is_told_again_and_one_in_the_loop_is_not() -> None:
    crash = Status(State.BACKOFF, failure=Crashed("x"), restarts=1, since=10)
    again = replace(RUNNING, restarts=1, since=20)
    for ran_for, told in ((STABLE - 1, 1), (STABLE, 2)):
        second = Status(State.BACKOFF, failure=Crashed("y"), restarts=2, since=20 + ran_for)
        assert titles(Toaster(), RUNNING, crash, STARTING, again, second) == ["Ollama Crashed"] * told


def test_a_stop_in_the_pause_before_a_restart_is_told_and_ends_the_loop() -> None:
    crash = Status(State.BACKOFF, failure=Crashed("x"), restarts=1)
    assert titles(Toaster(), RUNNING, crash, STOPPED, STARTING, RUNNING) == [
        "Ollama Crashed",
        "Ollama Stopped",
        "Ollama Started",
    ]


def test_a_start_clicked_in_the_pause_is_told() -> None:
    toaster = Toaster()
    crash = Status(State.BACKOFF, failure=Crashed("x"), restarts=1)
    assert titles(toaster, RUNNING, crash) == ["Ollama Crashed"]
    toaster.asked(Act.START)
    assert titles(toaster, crash, STARTING, RUNNING) == ["Ollama Started"]


def test_what_a_quit_refuses_is_no_news() -> None:
    assert Toaster().refused(ShuttingDown("bye"), Act.START) is None


def test_no_toast_says_the_same_twice() -> None:
    toast = Toaster().refused(NothingManaged(NothingManaged.title), Act.STOP)
    assert toast == Toast("No managed Ollama process running", "There is nothing to stop.", Kind.WARNING, Topic.OLLAMA)


def test_long_last_words_leave_room_for_the_way_out() -> None:
    toast = Toaster().refused(SpawnFailed("x" * 3000, action="The log has the whole story."), Act.START)
    assert toast is not None
    assert toast.text.endswith("x… The log has the whole story.")


@given(st.text(), st.text(max_size=600), st.none() | st.text(max_size=600), st.sampled_from(Act))
def test_every_toast_fits_a_balloon_of_windows_and_none_is_empty(
    title: str, words: str, action: str | None, act: Act
) -> None:
    refused = Toaster().refused(CoreError(words, action=action), act)
    assert refused is not None
    for toast in (refused, Toast(title, words)):
        assert units(toast.title) <= TITLE_UNITS
        assert 0 < units(toast.text) <= TEXT_UNITS
        assert toast.text.isprintable()


@given(st.lists(st.tuples(st.sampled_from(State), st.integers(1, 3), st.booleans(), st.integers(0, 3)), max_size=12))
def test_no_path_of_snapshots_is_told_more_often_than_it_moves(path: list[tuple[State, int, bool, int]]) -> None:
    failure = SpawnFailed("x")
    statuses = [
        Status(state, pid=pid, failure=failure if fails else None, restarts=restarts)
        for state, pid, fails, restarts in path
    ]
    told = titles(Toaster(), *statuses)
    assert len(told) <= sum(old != new for old, new in pairwise(statuses))
    assert told.count("Failed to Start Ollama") <= 1


def test_a_start_that_made_no_process_is_not_told_as_a_stop() -> None:
    starting = Status(State.STARTING, wanted=Wish.UP)
    stopped = Status(State.STOPPED)
    assert Toaster().moved(starting, stopped) is None
    assert Toaster().moved(replace(starting, pid=7), stopped) == Toast(
        "Ollama Stopped", "Nothing of it is left running.", Kind.NEWS, Topic.OLLAMA, PAGE
    )


@pytest.mark.parametrize(
    ("toast", "kind", "opens"),
    [
        (Toaster().moved(STOPPED, RUNNING), Kind.NEWS, PAGE),
        (Toaster().moved(RUNNING, Status(State.BACKOFF, failure=Crashed("x"), restarts=1)), Kind.WARNING, LOG),
        (Toaster().moved(RUNNING, replace(RUNNING, error="Connection timeout")), Kind.WARNING, LOG),
        (Toaster().moved(STARTING, Status(State.FAILED, failure=SpawnFailed("x"))), Kind.FAILURE, LOG),
        (Toaster().moved(STARTING, Status(State.FAILED, failure=CrashLoop("x"))), Kind.FAILURE, LOG),
        (Toaster().moved(STOPPING, replace(RUNNING, failure=StopFailed("x"))), Kind.FAILURE, LOG),
        (Toaster().refused(SpawnFailed("x"), Act.START), Kind.FAILURE, LOG),
        (Toaster().refused(AlreadyRunning("x"), Act.START), Kind.WARNING, None),
        (Toaster().refused(PathInvalid("x"), Act.START), Kind.WARNING, Command(Act.OPEN_AURA_SETTINGS)),
        (Toaster().desktop_refused(), Kind.WARNING, None),
    ],
)
def test_only_a_failure_that_needs_a_person_is_one_and_each_opens_what_it_speaks_of(
    toast: Toast | None, kind: Kind, opens: Command | None
) -> None:
    assert toast is not None
    assert (toast.kind, toast.opens) == (kind, opens)
    label = OPEN_LOG if opens == LOG else "Open settings"
    assert toast.button == (label if opens and kind is not Kind.NEWS else None)
