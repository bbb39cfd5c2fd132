"""What an observation means for the status. Pure: from a status and an observation to what changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from core.endpoint import Endpoint
from core.errors import CoreError, PathInvalid
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.probe import Answer, Probe
from core.owners.run_record import RunRecord
from core.supervision.observer import Observation
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
    """The fields of `Status` to change. `state` is None where the observation decides no move."""

    changes: dict[str, Any]
    state: State | None = None
    is_fresh: bool = False


def interpret(status: Status, observation: Observation) -> News:
    """What `observation` says about an Ollama of which `status` is known."""
    always = common(observation)
    if observation.probe.answer is Answer.NOT_ASKED and status.state is not State.UNKNOWN:
        return News(always | _program_of(status))
    if status.state is State.RUNNING:
        return _managed(observation, always)
    return _resting(status, observation, always) if status.state in RESTING else News(always)


def common(observation: Observation) -> dict[str, Any]:
    """What any observation changes: the settings are what they are, whatever Ollama does."""
    endpoint, executable = observation.setup.endpoint, observation.setup.executable
    is_answered = observation.probe.answer is Answer.OLLAMA
    problem = observation.setup.problem or (endpoint if isinstance(endpoint, CoreError) else None)
    return {
        "install_path": observation.setup.install_path,
        "path_problem": str(executable) if isinstance(executable, PathInvalid) else None,
        "settings_problem": str(problem) if problem else None,
        "wanted_url": observation.setup.url if not isinstance(endpoint, CoreError) else None,
        "meant_url": endpoint.suggestion if isinstance(endpoint, Endpoint) and not is_answered else None,
    }


def answered(probe: Probe) -> dict[str, Any]:
    """What the answer of an Ollama changes."""
    return {"version": probe.version, "error": None, "cause": None}


def process_started(record: RunRecord, observation: Observation) -> dict[str, Any]:
    """What a process changes that has been made for a start with that observation, and does not answer yet."""
    return common(observation) | NOBODY | {"url": record.url, "pid": record.pid, "error": NOT_REACHABLE}


def after_refusal(before: Status, error: CoreError, observation: Observation | None) -> dict[str, Any]:
    """What a start that was refused leads back to, the state among it: what was, or what its observation says.

    A retry after a crash that is refused is the last one.
    """
    if before.state is State.BACKOFF:
        before = replace(before, state=State.FAILED, failure=error)
    news = interpret(before, observation) if observation else News({})
    return {"failure": before.failure} | news.changes | {"state": news.state or before.state}


def _cause(observation: Observation) -> str | None:
    """What more there is to say about one that does not answer. That nobody listens at loopback needs no words."""
    endpoint = observation.setup.endpoint
    is_plain = isinstance(endpoint, Endpoint) and endpoint.is_loopback and observation.probe.answer is Answer.NOBODY
    return None if is_plain else observation.probe.reason


def _program_of(known: Status | Observation) -> dict[str, Any]:
    """The executable of an Ollama that is not ours is that of the process that listens, where it may be known."""
    if isinstance(known, Status):
        return {"install_path": known.install_path} if known.state is State.EXTERNAL else {}
    return {"install_path": known.listener.executable} if known.listener and known.listener.is_ollama else {}


def _managed(observation: Observation, always: dict[str, Any]) -> News:
    if observation.probe.answer is Answer.OLLAMA:
        return News(always | answered(observation.probe), is_fresh=True)
    # It lives, as far as its shim says, but it does not answer: the last good snapshot grows old.
    return News(always | {"error": observation.probe.error, "cause": _cause(observation)})


def _resting(status: Status, observation: Observation, always: dict[str, Any]) -> News:
    probe, listener = observation.probe, observation.listener
    whose = {
        "pid": listener.pid if listener else None,
        "owner": listener.owner if listener else None,
        "by_hand": listener.by_hand if listener else None,
    }
    if probe.answer is Answer.OLLAMA:
        news = always | _program_of(observation) | whose | answered(probe) | {"url": observation.url, "failure": None}
        if is_another(status, replace(status, **news)):
            news |= {"models": (), "models_error": None, "loaded": ()}
        return News(news, State.EXTERNAL)
    if is_hanging_external(status, observation):
        if status.state is State.EXTERNAL:
            return News(always | _program_of(status) | {"error": probe.error})
        news = (
            always | _program_of(observation) | whose | {"url": observation.url, "error": probe.error, "failure": None}
        )
        return News(news, State.EXTERNAL)
    holder = {"owner": listener.owner, "by_hand": listener.by_hand} if listener else {}
    nobody = always | NOBODY | holder | {"url": observation.url, "error": probe.error, "cause": _cause(observation)}
    return News(nobody, _without(status, observation))


def is_another(before: Status, now: Status) -> bool:
    """Whether an Ollama that is not ours has been exchanged for another one between two observations."""
    return (before.url, before.pid) != (now.url, now.pid)


def is_hanging_external(status: Status, observation: Observation) -> bool:
    """Whether an Ollama that is not ours is there and does not answer: one that did before, or is one by its name."""
    if observation.probe.answer is not Answer.SILENCE:
        return False
    was_there = status.state is State.EXTERNAL and status.url == observation.url
    return was_there or (observation.listener is not None and observation.listener.is_ollama)


def _without(status: Status, observation: Observation) -> State:
    """The resting state while no Ollama answers."""
    if status.state in (State.BACKOFF, State.FAILED):
        return status.state
    return State.STOPPED if observation.setup.install_path else State.NOT_INSTALLED
