"""Which news are worth a toast, and in which words. Pure.

Only for what the user asked for or must know: an external Ollama that comes and goes is for the icon alone, and a crash
loop is told when it begins and when it is given up.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import AlreadyRunning, CoreError, ShuttingDown, Superseded
from core.state import State, Status
from core.text import in_sentences
from tray.menu import Act


@dataclass(frozen=True, slots=True)
class Toast:
    """A title and one or two sentences."""

    title: str
    text: str


_FAILURE_TITLES = {"crashed": "Ollama Crashed", "crash_loop": "Ollama Keeps Crashing"}


class Toaster:
    """Remembers what was told, so that one event never makes two toasts."""

    def __init__(self) -> None:
        self._told: CoreError | None = None
        self._is_recovering = False

    def moved(self, old: Status, new: Status) -> Toast | None:
        """The toast for a change of status, if it deserves one."""
        if new.state is not old.state:
            return self._arrived(old, new)
        if new.state is State.RUNNING and new.error and not old.error and new.is_running:
            return Toast("Ollama Does Not Answer", f"It runs (pid {new.pid}) but does not answer. Stop still works.")
        return None

    def _arrived(self, old: Status, new: Status) -> Toast | None:
        was_recovering = self._is_recovering
        if new.state in {State.BACKOFF, State.STOPPED, State.FAILED}:
            self._is_recovering = new.state is State.BACKOFF
        match new.state:
            case State.RUNNING if was_recovering:
                return None
            case State.RUNNING if new.adopted:
                return Toast("Ollama Was Still Running", f"It went on without us (pid {new.pid}) and is ours again.")
            case State.RUNNING if old.state is State.STARTING:
                return Toast("Ollama Started", f"Ollama {new.version or ''} answers at {new.url}.".replace("  ", " "))
            case State.STOPPED if old.state is State.STOPPING:
                return Toast("Ollama Stopped", "Nothing of it is left running.")
            case State.BACKOFF if new.failure and not was_recovering:
                return Toast("Ollama Crashed", f"It will be started again. {new.failure.message}")
            case State.FAILED:
                return self._failure(new.failure)
        return None

    def _failure(self, failure: CoreError | None) -> Toast | None:
        if failure is None or failure is self._told:
            return None
        self._told = failure
        return Toast(_FAILURE_TITLES.get(failure.code, failure.title), _words(failure))

    def refused(self, error: CoreError, act: Act) -> Toast | None:
        """The toast for a click that could not be carried out, unless the change of status has told it already."""
        if error is self._told or isinstance(error, Superseded | ShuttingDown):
            return None
        self._told = error
        title = "Failed to Start Ollama" if act in {Act.START, Act.RESTART} else error.title
        return Toast(error.title if isinstance(error, AlreadyRunning) else title, _words(error))

    def desktop_refused(self) -> Toast:
        """The toast for the first call of a desktop app whose pages have no origin of their own."""
        return Toast(
            "Aura Desktop Was Refused",
            "A page without an origin of its own asked for Ollama. If that was the Aura desktop app, choose "
            "“Allow Aura desktop” in this menu.",
        )


def _words(error: CoreError) -> str:
    return in_sentences(error.message, error.action)
