"""What a look means for the status. Pure: from a status and a look to what changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from core.endpoint import Endpoint
from core.errors import CoreError, PathInvalid
from core.ollama.probe import Answer, Probe
from core.ollama.words import NOT_REACHABLE
from core.owners.run_record import RunRecord
from core.supervision.look import Look
from core.supervision.state import RESTING, State, Status

NOBODY: dict[str, Any] = {
    "pid": None,
    "owner": None,
    "by_hand": None,
    "version": None,
    "models": (),
    "models_error": None,
    "loaded": (),
    "cause": None,
    "adopted": False,
}
"""What is known of an Ollama while none is there."""


@dataclass(frozen=True, slots=True)
class News:
    """The fields of `Status` to change. `state` is None where the look decides no move."""

    changes: dict[str, Any]
    state: State | None = None
    is_fresh: bool = False


def conclude(status: Status, look: Look) -> News:
    """What `look` says about an Ollama of which `status` is known."""
    always = common(look)
    if look.probe.answer is Answer.NOT_ASKED and status.state is not State.UNKNOWN:
        return News(always | _program_of(status))
    if status.state is State.RUNNING:
        return _managed(look, always)
    return _resting(status, look, always) if status.state in RESTING else News(always)


def common(look: Look) -> dict[str, Any]:
    """What any look changes: the settings are what they are, whatever Ollama does."""
    endpoint, executable = look.setup.endpoint, look.setup.executable
    is_answered = look.probe.answer is Answer.OLLAMA
    problem = look.setup.problem or (endpoint if isinstance(endpoint, CoreError) else None)
    return {
        "install_path": look.setup.install_path,
        "path_problem": str(executable) if isinstance(executable, PathInvalid) else None,
        "settings_problem": str(problem) if problem else None,
        "wanted_url": look.setup.url if not isinstance(endpoint, CoreError) else None,
        "meant_url": endpoint.suggestion if isinstance(endpoint, Endpoint) and not is_answered else None,
    }


def answered(probe: Probe) -> dict[str, Any]:
    """What the answer of an Ollama changes."""
    return {"version": probe.version, "error": None, "cause": None}


def spawned(record: RunRecord, look: Look) -> dict[str, Any]:
    """What a process changes that has been made for a start with that look, and does not answer yet."""
    return common(look) | NOBODY | {"url": record.url, "pid": record.pid, "error": NOT_REACHABLE}


def after_refusal(before: Status, error: CoreError, look: Look | None) -> dict[str, Any]:
    """What a start that was refused leads back to, the state among it: what was, or what its look says.

    A retry after a crash that is refused is the last one.
    """
    if before.state is State.BACKOFF:
        before = replace(before, state=State.FAILED, failure=error)
    news = conclude(before, look) if look else News({})
    return {"failure": before.failure} | news.changes | {"state": news.state or before.state}


def _cause(look: Look) -> str | None:
    """What more there is to say about one that does not answer. That nobody listens at loopback needs no words."""
    endpoint = look.setup.endpoint
    is_plain = isinstance(endpoint, Endpoint) and endpoint.is_loopback and look.probe.answer is Answer.NOBODY
    return None if is_plain else look.probe.reason


def _program_of(known: Status | Look) -> dict[str, Any]:
    """The executable of an Ollama that is not ours is that of the process that listens, where it may be known."""
    if isinstance(known, Status):
        return {"install_path": known.install_path} if known.state is State.EXTERNAL else {}
    return {"install_path": known.listener.executable} if known.listener and known.listener.is_ollama else {}


def _managed(look: Look, always: dict[str, Any]) -> News:
    if look.probe.answer is Answer.OLLAMA:
        return News(always | answered(look.probe), is_fresh=True)
    # It lives, as far as its shim says, but it does not answer: the last good snapshot grows old.
    return News(always | {"error": look.probe.error, "cause": _cause(look)})


def _resting(status: Status, look: Look, always: dict[str, Any]) -> News:
    probe, listener = look.probe, look.listener
    whose = {
        "pid": listener.pid if listener else None,
        "owner": listener.owner if listener else None,
        "by_hand": listener.by_hand if listener else None,
    }
    if probe.answer is Answer.OLLAMA:
        news = always | _program_of(look) | whose | answered(probe) | {"url": look.url, "failure": None}
        if is_another(status, replace(status, **news)):
            news |= {"models": (), "models_error": None, "loaded": ()}
        return News(news, State.EXTERNAL)
    if is_hanging_external(status, look):
        if status.state is State.EXTERNAL:
            return News(always | _program_of(status) | {"error": probe.error})
        news = always | _program_of(look) | whose | {"url": look.url, "error": probe.error, "failure": None}
        return News(news, State.EXTERNAL)
    holder = {"owner": listener.owner, "by_hand": listener.by_hand} if listener else {}
    nobody = always | NOBODY | holder | {"url": look.url, "error": probe.error, "cause": _cause(look)}
    return News(nobody, _without(status, look))


def is_another(before: Status, now: Status) -> bool:
    """Whether an Ollama that is not ours has been exchanged for another one between two looks."""
    return (before.url, before.pid) != (now.url, now.pid)


def is_hanging_external(status: Status, look: Look) -> bool:
    """Whether an Ollama that is not ours is there and does not answer: one that did before, or is one by its name."""
    if look.probe.answer is not Answer.SILENCE:
        return False
    was_there = status.state is State.EXTERNAL and status.url == look.url
    return was_there or (look.listener is not None and look.listener.is_ollama)


def _without(status: Status, look: Look) -> State:
    """The resting state while no Ollama answers."""
    if status.state in (State.BACKOFF, State.FAILED):
        return status.state
    return State.STOPPED if look.setup.install_path else State.NOT_INSTALLED
