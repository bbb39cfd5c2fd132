"""What can go wrong, as a closed set of codes with a sentence for a person; and the system's errors in plain words.

Core knows no HTTP: `api.errors` maps these codes to statuses.
"""

from __future__ import annotations

import errno
import os
import re
from typing import ClassVar, Self

_MAKE_ROOM = "Make room on the disk that holds AuraData, and try again."
_CLOSE_FILES = "Wait until fewer calls are under way, or end a program that has many files open, and try again."
_FREE_MEMORY = "End a program that uses much memory, and try again."
WAYS_OUT = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EMFILE: _CLOSE_FILES,
    errno.ENFILE: _CLOSE_FILES,
    errno.ENOMEM: _FREE_MEMORY,
    errno.ENOBUFS: _FREE_MEMORY,
    errno.E2BIG: "Make `env` in ollama-sidecar.json smaller, or our own environment.",
    errno.ENOTSUP: "Keep AuraData on another disk: choose its folder with --data-dir or AURA_DATA_PATH.",
}


_NUMBER = re.compile(r"\[Errno ([0-9]+)\]")

"""What a person can do about an error of the operating system, by its errno."""


class CoreError(Exception):
    """A failure that a person can act on.

    `code` is stable and for programs; `title` is a short heading; `str(error)` says what happened; `action`, if any,
    says what to do. Nothing has been changed when it is raised, unless its class says so.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str, *, action: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.action = action

    def fresh(self) -> Self:
        """A copy to raise. Raising one exception object repeatedly would add a traceback to it each time."""
        again = type(self).__new__(type(self), *self.args)
        again.__dict__.update(self.__dict__)
        return again


class ConfigError(CoreError):
    """A settings file, or a value in one, cannot be used. Names file, line where known, field and value."""

    code = "config_invalid"
    title = "Settings cannot be read"


class BadSetting(ConfigError):
    """A setting that somebody wants to change has no such name, or does not take that value. Nothing is changed."""

    code = "bad_setting"
    title = "Invalid Setting"


class DataFolderGone(ConfigError):
    """The data folder, which was there, is no more; nothing of ours makes it anew while this program runs."""

    def __init__(self, why: str) -> None:
        super().__init__(why, action="Bring its disk back, or restart aura-ollama.")


class PathNotConfigured(CoreError):
    """No executable is configured and none was found in the known places."""

    code = "path_not_configured"
    title = "Ollama path not configured"


class PathInvalid(CoreError):
    """The configured executable cannot be an Ollama; the message says what is wrong with it."""

    code = "path_invalid"
    title = "Ollama path is invalid"


class SpawnFailed(CoreError):
    """The child did not come up: it could not be executed, or it ended before it was ready. Nothing is left running."""

    code = "spawn_failed"
    title = "Failed to Start Ollama"


class StartUnanswered(SpawnFailed):
    """The owner was told to start it and has not answered, so it may run, or come up later."""


class StartTimedOut(SpawnFailed):
    """The child lived but was not ready within `readyTimeout` seconds. Its whole tree has been stopped."""

    code = "start_timed_out"


class Crashed(CoreError):
    """A managed Ollama that had been ready ended without being asked to; the message holds its last words."""

    code = "crashed"
    title = "Ollama Crashed"


class CrashLoop(Crashed):
    """Restarts after crashes were given up; the message says how many were tried and how the last one ended."""

    code = "crash_loop"


class AlreadyRunning(CoreError):
    """An Ollama that we did not start already answers."""

    code = "already_running"
    title = "Ollama Already Running"


class PortInUse(CoreError):
    """A program that is not an answering Ollama holds the port; the message names it."""

    code = "port_in_use"
    title = "Port Already in Use"


class NothingManaged(CoreError):
    """Stop was asked for, and no Ollama of ours runs."""

    code = "nothing_managed"
    title = "No managed Ollama process running"


class NotOurs(NothingManaged):
    """Stop was asked for an Ollama that we did not start. It is left alone; the message says whose it is."""

    code = "not_ours"


class NotAnswering(CoreError):
    """Our Ollama lives but does not answer, so that a start can neither succeed nor do any good."""

    code = "not_answering"
    title = "Ollama Does Not Answer"


class RunsElsewhere(CoreError):
    """Our Ollama runs at the address that the settings named before. It is left to its work."""

    code = "runs_elsewhere"
    title = "Ollama Runs at Another Address"


class RemoteOllama(CoreError):
    """`ollamaUrl` names another machine or a proxy: nothing on this machine can be started or stopped for it."""

    code = "remote"
    title = "Ollama runs elsewhere"


class NoOllamaAddress(RemoteOllama):
    """`ollamaUrl` is not where an Ollama answers by itself, as with a path; the action says what to write instead."""

    title = "Not an Address of Ollama"


class StopFailed(CoreError):
    """The tree is still alive after the grace period and a kill. The state stays `running`."""

    code = "stop_failed"
    title = "Failed to Stop Ollama"


OUTCOME_UNKNOWN = StopFailed, StartUnanswered
"""The errors by which an owner says that it does not know whether an Ollama runs, or comes up later."""


class BadModelName(CoreError):
    """A model's name is none by Ollama's grammar; the message says which part of it will not do, and why."""

    code = "bad_model_name"
    title = "Invalid model name"


class RegistryNotAllowed(CoreError):
    """A model would come from a registry, or by a way, that the settings do not allow; the action says how to."""

    code = "registry_not_allowed"
    title = "Registry not allowed"


class NotRunning(CoreError):
    """Something was asked of Ollama, which is not up."""

    code = "not_running"
    title = "Ollama Is Not Running"


class ModelError(CoreError):
    """A call about one model came to nothing; `model` is its name. What Ollama said is in the message."""

    code = "model_call_failed"
    title = "Ollama Refused"

    def __init__(self, model: str, message: str, *, action: str | None = None) -> None:
        super().__init__(message, action=action)
        self.model = model


class ModelNotFound(ModelError):
    """Ollama has no model of that name."""

    code = "model_not_found"
    title = "Model Not Found"


class ModelInUse(ModelError):
    """The model is in memory, so that it is not deleted. The action says how to do it all the same."""

    code = "model_in_use"
    title = "Model in Use"


class TooManyLoads(ModelError):
    """The model is not loaded, since too many others are on their way into memory."""

    code = "too_many_loads"
    title = "Too Many Models Are Being Loaded"


class DeleteFailed(ModelError):
    """The model was not deleted."""

    code = "delete_failed"
    title = "Failed to Delete Model"


class PullFailed(ModelError):
    """The model was not pulled."""

    code = "pull_failed"
    title = "Failed to Pull Model"


class NoSuchInstance(CoreError):
    """No instance has that id."""

    code = "no_such_instance"
    title = "No Such Instance"


class NoSuchJob(CoreError):
    """No job has that id, or it ended so long ago that it is listed no more."""

    code = "no_such_job"
    title = "No Such Job"


class Superseded(CoreError):
    """A start was interrupted by a later stop."""

    code = "superseded"
    title = "Start was cancelled"


class ShuttingDown(CoreError):
    """The sidecar is closing and takes no more wishes."""

    code = "shutting_down"
    title = "The sidecar is shutting down"


def why_not_connected(error: OSError) -> str:
    """What is wrong, in the system's own words.

    asyncio and its kin put the address as a Python tuple in the place of those words, and join those of several
    addresses. Of several errors the first is told.
    """
    if getattr(error, "winerror", None) and error.strerror:
        # Windows' own text, from Windows itself: its numbers for sockets mean nothing to the C library.
        return error.strerror
    found = _NUMBER.search(str(error))
    number = error.errno or (int(found[1]) if found else 0)
    return os.strerror(number) if number else "nobody answers there"


def os_error_in_words(error: OSError) -> str:
    """The error as text: the file, if known, and the system's message, without its errno."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what
