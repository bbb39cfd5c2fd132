"""The signals that ask the program to end, and what each of them means for Ollama."""

from __future__ import annotations

import signal

from core.settings.reader import Settings

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_TERMINATIONS = frozenset({"SIGTERM", "SIGHUP"})


def handled() -> list[int]:
    """The numbers of those that this system has; without SIGHUP if we were started to ignore it, as by nohup(1)."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    return [
        number
        for number in numbers
        if not (signal.Signals(number).name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN)
    ]


def stops_ollama(number: int, settings: Settings) -> bool:
    """Whether Ollama is stopped as well when this signal ends the program.

    Ctrl-C is a user's quit (`stopOnQuit`). SIGTERM is how a service manager upgrades us, and SIGHUP tells that the
    terminal or the session is gone: by `stopOnTerminate` Ollama then waits for the next sidecar.
    """
    sidecar = settings.sidecar
    is_termination = signal.Signals(number).name in _TERMINATIONS
    return sidecar.stop_on_terminate if is_termination else sidecar.stop_on_quit
