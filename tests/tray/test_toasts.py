"""Which news are told, once each."""

from __future__ import annotations

from itertools import pairwise

from core.errors import AlreadyRunning, Crashed, CrashLoop, PathInvalid, ShuttingDown, SpawnFailed, Superseded
from core.state import State, Status
from tray.menu import Act
from tray.toasts import Toaster


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
    for expected in (Superseded("stopped"), ShuttingDown("bye")):
        assert toaster.refused(expected, Act.START) is None
