"""What a service manager must do for us, and what it shows of a service. Everything blocks: call it in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import os_error_in_words


class ServiceFailed(OSError):
    """The manager cannot be asked, or refuses; `message` and `action` are sentences for a person."""

    def __init__(self, message: str, action: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.action = action


def in_words(error: OSError) -> tuple[str, str | None]:
    """What went wrong when a manager was asked, as a sentence, and the way out."""
    if isinstance(error, ServiceFailed):
        return error.message, error.action
    if isinstance(error, TimeoutError):
        return "Its service manager does not answer.", None
    return f"Its service manager cannot be asked: {os_error_in_words(error)}.", None


@dataclass(frozen=True, slots=True)
class Seen:
    """A service as its manager shows it at one moment. `words` is its state, as the predicate of a sentence.

    `code` is how its last run ended: negative for a POSIX signal, None if nobody can tell. `will_restart`: it does not
    run, and the manager is going to start it by itself. `is_down`: it does not run because somebody wished so.
    """

    pid: int | None
    words: str
    run: str = ""
    """A name for the present run that no other run has; none if it does not run."""
    code: int | None = None
    will_restart: bool = False
    is_down: bool = False


class Manager(Protocol):
    """One service of one manager, named by the user. Every method raises ServiceFailed."""

    @property
    def name(self) -> str:
        """The service in words, such as `the job homebrew.mxcl.ollama of launchd`."""

    @property
    def seconds(self) -> float:
        """How long any call may take at most."""

    def look(self) -> Seen:
        """The service now. A service that is there and not loaded does not run."""

    def start(self) -> None:
        """Start it, unless it runs."""

    def stop(self) -> None:
        """End it, by its manager and so that this does not start it again. Returns once it has ended."""

    def url(self) -> str:
        """Where its Ollama is told to listen."""

    def how_to_move(self, url: str) -> str:
        """What makes its Ollama listen at `url`, in words for a person."""

    def environment(self) -> Mapping[str, str]:
        """The variables that its program gets, as far as the manager tells. Secrets in them are starred."""

    def output(self) -> Sequence[str]:
        """The files that get its standard output and its standard error; none if the manager keeps no output."""
