"""The status in words: a headline of a few, and what more there is to say."""

from __future__ import annotations

import re

from core.ollama.error_texts import TIMED_OUT
from core.supervision.state import State, Status
from core.text import in_sentences
from tray.menu.words import cut_name, isolated, shorten

_VERSION_UNITS = 14
_MOST_NAMES = 10
_TOOLTIP_NAME_UNITS = 60
# " (pid 7)" and " (pid 7, user bob)", as `core.ollama.listener` says whose a port is.
_PID = re.compile(r" \(pid \d+(?:, (user [^()]*))?\)")
_ENDED = re.compile(r"Ollama (?:ended with exit code|was ended by) \S+: ")
# Who is killed cannot say why: its last words are about something else.
_KILLED = re.compile(r"(Ollama was ended by SIGKILL): .*", re.DOTALL)
_HEADLINES = {
    State.UNKNOWN: "Looking for Ollama…",
    State.NOT_INSTALLED: "Ollama is not installed",
    State.STOPPED: "Ollama is not running",
    State.STARTING: "Ollama is starting…",
    State.STOPPING: "Ollama is stopping…",
    State.BACKOFF: "Ollama crashed and will be started again",
}
_FAILURES = {"crashed": "Ollama crashed", "crash_loop": "Ollama keeps crashing"}


def headline(status: Status) -> str:
    """The status in at most 50 UTF-16 units. `detail` has what more there is to say."""
    match status.state:
        case State.NOT_INSTALLED if status.path_problem:
            return "Ollama was not found where the settings say"
        case State.FAILED:
            return _FAILURES.get(status.failure.code if status.failure else "", "Ollama could not be started")
        case State.RUNNING | State.EXTERNAL:
            return _up(status)
        case state:
            return _HEADLINES[state]


def _up(status: Status) -> str:
    ollama = f"Ollama {shorten(status.version, _VERSION_UNITS)}" if status.version else "Ollama"
    if not status.is_running:
        return f"{ollama} has ended"
    if status.error:
        return f"{ollama} does not answer"
    if status.stuck:
        return f"{ollama} generates nothing"
    if status.state is State.EXTERNAL:
        return f"Another program's {ollama} is running"
    return f"{ollama} is still running" if status.failure else f"{ollama} is running"


def detail(status: Status) -> str | None:
    """What more there is to say about the state, of any length; None if the headline says all."""
    match status.state:
        case State.NOT_INSTALLED:
            # None is needed here for one on another machine, which has a cause of its own.
            return status.path_problem or status.cause
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
            return status.stuck


def detail_in_short(status: Status) -> str | None:
    """The detail for a narrow line: without process numbers, and without what the headline has said already."""
    text = detail(status)
    if not text:
        return None
    text = _ENDED.sub("", _KILLED.sub(r"\1", text))
    return _PID.sub(lambda found: f" ({found[1]})" if found[1] else "", text)


def sentence(status: Status) -> str:
    """All that there is to say, in one or two sentences. `headline` comes first."""
    return _sentence(status, detail(status))


def sentence_in_short(status: Status) -> str:
    """The same for a narrow place, with the detail in short."""
    return _sentence(status, detail_in_short(status))


def _sentence(status: Status, told: str | None) -> str:
    if told:
        return in_sentences(headline(status), told)
    loaded = [isolated(cut_name(name, _TOOLTIP_NAME_UNITS)) for name in status.loaded[:_MOST_NAMES]]
    return f"{headline(status)}, {', '.join(loaded)} loaded" if loaded and status.is_running else headline(status)
