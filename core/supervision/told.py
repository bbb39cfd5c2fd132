"""The status in words, the same in the tray, on the page and on a terminal. Pure."""

from __future__ import annotations

from core.endpoint import write_instead
from core.errors import OUTCOME_UNKNOWN
from core.ollama.error_texts import TIMED_OUT
from core.supervision.state import State, Status
from core.text import isolated, shorten

_VERSION_UNITS = 14
_HEADLINES = {
    State.UNKNOWN: "Looking for Ollama…",
    State.NOT_INSTALLED: "Ollama is not installed",
    State.STOPPED: "Ollama is not running",
    State.STARTING: "Ollama is starting…",
    State.STOPPING: "Ollama is stopping…",
    State.BACKOFF: "Ollama crashed and will be started again",
}
START_ELSEWHERE = "Start Ollama over there, or set ollamaUrl to a plain http address of this machine."
_FAILURES = {"crashed": "Ollama crashed", "crash_loop": "Ollama keeps crashing"}


def headline(status: Status) -> str:
    """The status in at most 50 UTF-16 units. `detail` has what more there is to say."""
    match status.state:
        case State.NOT_INSTALLED if status.settings_problem:
            # They may name the program.
            return "The settings cannot be used"
        case State.STOPPED if not status.is_startable:
            return "No Ollama answers where the settings say"
        case State.NOT_INSTALLED if status.path_problem:
            return "Ollama was not found where the settings say"
        case State.FAILED if isinstance(status.failure, OUTCOME_UNKNOWN):
            return "Whether Ollama runs is not known"
        case State.FAILED:
            return _FAILURES.get(status.failure.code if status.failure else "", "Ollama could not be started")
        case State.RUNNING | State.EXTERNAL:
            return _up(status)
        case state:
            return _HEADLINES[state]


def _up(status: Status) -> str:
    ollama = f"Ollama {shorten(status.version, _VERSION_UNITS)}" if status.version else "Ollama"
    if not status.is_running and status.state is State.RUNNING and not status.version:
        # A service that its owner has just started, and that has not answered yet.
        return _HEADLINES[State.STARTING]
    if not status.is_running:
        return f"{ollama} has ended"
    if status.error:
        return f"{ollama} does not answer"
    if status.stuck:
        return f"{ollama} generates nothing"
    if status.state is State.EXTERNAL and not status.may_be_owners:
        return f"Another program's {ollama} is running"
    return f"{ollama} is still running" if status.failure else f"{ollama} is running"


def detail(status: Status) -> str | None:
    """What more there is to say about the state, of any length; None if the headline says all."""
    match status.state:
        case State.NOT_INSTALLED:
            return status.settings_problem or status.path_problem or status.cause
        case State.STOPPED if status.meant_url:
            return f"ollamaUrl should be {status.meant_url}"
        case State.STOPPED if status.owner:
            return f"Its port is held by {isolated(status.owner)}"
        case State.STOPPED:
            return status.cause
        case State.STARTING:
            return status.waits_for
        case State.BACKOFF | State.FAILED:
            return status.failure.message if status.failure else None
        case State.RUNNING | State.EXTERNAL if status.is_running and status.error:
            # The cause of that one is the headline in other words.
            return None if status.error == TIMED_OUT else status.cause or status.error
        case State.RUNNING if status.failure and not status.stuck:
            return status.failure.message
        case State.UNKNOWN | State.RUNNING | State.STOPPING | State.EXTERNAL:
            unheard = status.owner_problem if status.may_be_owners else None
            return status.stuck or unheard or status.condition.problem


def way_out(status: Status) -> str | None:
    """What a person can do about what `detail` says, or about an Ollama that is not ours; None if that is nothing."""
    if status.may_be_owners:
        return None
    if status.state is State.EXTERNAL:
        return status.by_hand or "Stop it where it was started."
    if status.state is State.STOPPED and status.meant_url:
        return write_instead(status.meant_url)
    if status.state is State.STOPPED and not status.is_startable:
        return START_ELSEWHERE
    if status.failure and detail(status) == status.failure.message:
        return status.failure.action
    return None
