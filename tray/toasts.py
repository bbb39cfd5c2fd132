"""Which news are worth a toast, and in which words. Pure.

Only for what the user asked for or must know: an external Ollama that comes and goes is for the icon alone, and a crash
loop is told when it begins and when it is given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.errors import (
    AlreadyRunning,
    CoreError,
    Crashed,
    CrashLoop,
    NotAnswering,
    PathInvalid,
    RemoteOllama,
    ShuttingDown,
    SpawnFailed,
    StopFailed,
    Superseded,
)
from core.supervision.backoff import STABLE
from core.supervision.state import State, Status, Wish
from core.text import in_sentences, shorten, shorten_lines, units
from tray.menu import Act, Command

TITLE_UNITS = 63
TEXT_UNITS = 255
"""UTF-16 units that fit in `szInfoTitle` and `szInfo` of Windows' NOTIFYICONDATAW; ctypes refuses longer ones."""
OPEN_LOG = "Open log"
_OPEN_SETTINGS = "Open settings"

_LOG = Command(Act.OPEN_NEWEST_LOG)
_FAILURE_TITLES = {"crashed": "Ollama Crashed", "crash_loop": "Ollama Keeps Crashing"}


class Kind(StrEnum):
    """How much a toast matters."""

    NEWS = "news"
    """What the user waits for, or the icon shows as well: without a place for toasts it is left out."""
    ANSWER = "answer"
    """Answers a click."""
    WARNING = "warning"
    """Something went wrong that is being seen to, or that can wait."""
    FAILURE = "failure"
    """Nothing goes on until a person does something."""


class Topic(StrEnum):
    """What a toast is about. It takes the place of the one before with the same topic."""

    OLLAMA = "ollama"
    ANSWER = "answer"
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class Toast:
    """A title and one or two sentences, each made one line and cut to what the smallest balloon takes.

    All but news must be told in any case. `opens` is what a click on the toast does: it opens what the toast speaks of,
    and changes nothing. With a `button`, its label, the toast offers that in so many words. `has_lines` keeps the line
    breaks of a text.
    """

    title: str
    text: str
    kind: Kind = Kind.ANSWER
    topic: Topic = Topic.ANSWER
    opens: Command | None = None
    button: str | None = None
    has_lines: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", shorten(self.title, TITLE_UNITS))
        # On Windows a balloon without a text is one that goes away.
        cut = shorten_lines if self.has_lines else shorten
        object.__setattr__(self, "text", cut(self.text, TEXT_UNITS) or "–")


class Toaster:
    """Remembers what was told, so that one event never makes two toasts. Snapshots may be missing in between."""

    def __init__(self) -> None:
        self._told: CoreError | None = None
        self._is_recovering = False
        self._is_restarting = False
        self._hang_told_of: int | None = None

    def asked(self, act: Act) -> None:
        """Note a start, stop or restart that was clicked, before it is carried out: a restart is told only once."""
        self._is_restarting = act is Act.RESTART
        self._is_recovering = False

    def moved(self, old: Status, new: Status) -> Toast | None:
        """The toast for a change of status, if it deserves one."""
        if new.restarts > old.restarts and new.state is not State.FAILED:
            return self._crashed(old, new)
        if new.failure and new.failure is not old.failure:
            return self._failed(new)
        if new.stuck and not old.stuck:
            return Toast("Ollama Is Stuck", new.stuck)
        match new.state:
            case State.RUNNING if old.state is not State.RUNNING or old.pid != new.pid:
                return self._came_up(old, new)
            case State.RUNNING if new.error and new.is_running:
                return self._hangs(new)
            case State.STOPPED if old.state is not State.STOPPED:
                return self._went_down(old, new)
            case State.EXTERNAL:
                self._is_recovering = False
        return None

    def refused(self, error: CoreError, act: Act) -> Toast | None:
        """The toast for a click that could not be carried out, unless the change of status has told it already."""
        self._is_restarting = False
        if error is self._told or isinstance(error, Superseded | ShuttingDown):
            return None
        self._told = error
        title = "Failed to Start Ollama" if act in {Act.START, Act.RESTART} else error.title
        # The same as in `_failed`, for an error that comes here before the change of status does.
        needs_person = isinstance(error, SpawnFailed | CrashLoop | StopFailed)
        return _failure(error, title, Kind.FAILURE if needs_person else Kind.WARNING)

    def desktop_refused(self) -> Toast:
        """The toast for the first call of a desktop app whose pages have no origin of their own."""
        return Toast(
            "Aura Desktop Was Refused",
            "A page without an origin of its own asked for Ollama. If that was the Aura desktop app, choose "
            "“Allow Aura desktop” in this menu.",
            Kind.WARNING,
            Topic.ACCESS,
        )

    def _crashed(self, old: Status, new: Status) -> Toast | None:
        was_stable = old.state is State.RUNNING and new.since - old.since >= STABLE
        is_news = was_stable or not self._is_recovering
        self._is_recovering = True
        self._is_restarting = False
        if not is_news:
            return None
        self._told = new.failure or self._told
        last_words = new.failure.message if new.failure else ""
        text = f"It will be started again. {last_words}"
        return Toast("Ollama Crashed", text, Kind.WARNING, Topic.OLLAMA, _LOG, OPEN_LOG)

    def _failed(self, new: Status) -> Toast | None:
        self._is_recovering = False
        self._is_restarting = False
        if new.failure is None or new.failure is self._told:
            return None
        self._told = new.failure
        title = "Failed to Start Ollama" if new.state is State.FAILED else new.failure.title
        return _failure(new.failure, title, Kind.FAILURE)

    def _came_up(self, old: Status, new: Status) -> Toast | None:
        self._is_restarting = False
        if new.failure:
            # It could not be stopped, which has been told.
            return None
        if old.state is State.UNKNOWN and new.adopted:
            return _news("Ollama Was Still Running", f"It went on without us (pid {new.pid}) and is ours again.")
        if self._is_recovering:
            return None
        return _news("Ollama Started", f"Ollama {new.version or ''} answers at {new.url}.")

    def _hangs(self, new: Status) -> Toast | None:
        if new.pid == self._hang_told_of:
            return None
        self._hang_told_of = new.pid
        text = f"It runs (pid {new.pid}) but does not answer. Stop still works."
        return Toast("Ollama Does Not Answer", text, Kind.WARNING, Topic.OLLAMA, _LOG, OPEN_LOG)

    def _went_down(self, old: Status, new: Status) -> Toast | None:
        self._is_recovering = False
        # A start that was refused or called off before it had a process leaves nothing to tell.
        was_ours = old.state is State.BACKOFF or (old.is_managed and (old.state is not State.STARTING or old.pid))
        if not was_ours or self._is_restarting or new.wanted is Wish.UP:
            return None
        return _news("Ollama Stopped", "Nothing of it is left running.")


def _news(title: str, text: str) -> Toast:
    """News of Ollama; a click opens the page."""
    return Toast(title, text, Kind.NEWS, Topic.OLLAMA, Command(Act.OPEN_DASHBOARD))


def _failure(error: CoreError, title: str, kind: Kind) -> Toast:
    """The failure under `title`, or under its own name where it has one of its own."""
    if isinstance(error, AlreadyRunning | Crashed):
        title = _FAILURE_TITLES.get(error.code, error.title)
    way_out = shorten(error.action or "", TEXT_UNITS // 2)
    # Long last words give way to the way out.
    reason = "" if error.message == title else shorten(error.message, TEXT_UNITS - units(way_out) - 2)
    text = (in_sentences(reason, way_out) if reason else way_out) or "There is nothing to stop."
    if isinstance(error, SpawnFailed | Crashed | StopFailed | NotAnswering):
        return Toast(title, text, kind, Topic.OLLAMA, _LOG, OPEN_LOG)
    if isinstance(error, PathInvalid | RemoteOllama):
        return Toast(title, text, kind, Topic.OLLAMA, Command(Act.OPEN_AURA_SETTINGS), _OPEN_SETTINGS)
    # There was no Ollama of ours that could have written a log.
    return Toast(title, text, kind, Topic.OLLAMA)
