"""What an observation means for the status. Pure: from a status and an observation to what changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from core.endpoint import Endpoint
from core.errors import CoreError, PathInvalid
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.probe import Answer, Probe
from core.owners.protocol import Running
from core.settings.owner import PROCESS
from core.supervision.observer import Observation
from core.supervision.state import RESTING, State, Status

NOBODY: dict[str, Any] = {
    "pid": None,
    "owner": None,
    "by_hand": None,
    "offer": None,
    "version": None,
    "models": (),
    "models_error": None,
    "loaded": (),
    "cause": None,
    "adopted": False,
}
"""The fields of a status that describe an Ollama, while there is none."""


@dataclass(frozen=True, slots=True)
class Interpretation:
    """The fields of `Status` to change, and the state to enter, None if the state stays.

    `is_fresh`: a managed Ollama has answered.
    """

    changes: dict[str, Any]
    state: State | None = None
    is_fresh: bool = False


def interpret(status: Status, observation: Observation) -> Interpretation:
    """What `observation` changes in `status`.

    A probe that could not be made changes nothing about Ollama, and in transient states no observation does. A managed
    Ollama that does not answer keeps its state, since its shim says that it lives.
    """
    always, probe = common(observation), observation.probe
    if probe.answer is Answer.NOT_ASKED and status.state is not State.UNKNOWN:
        return Interpretation(always | _program_of(status))
    if status.state is State.RUNNING:
        if probe.answer is Answer.OLLAMA:
            return Interpretation(always | answered(probe), is_fresh=True)
        return Interpretation(always | {"error": probe.error, "cause": _cause(observation)})
    return _resting(status, observation, always) if status.state in RESTING else Interpretation(always)


def common(observation: Observation) -> dict[str, Any]:
    """What every observation changes: the fields that depend on the settings and not on Ollama's state."""
    endpoint, executable = observation.setup.endpoint, observation.setup.executable
    is_answered = observation.probe.answer is Answer.OLLAMA
    problem = observation.setup.problem or (endpoint if isinstance(endpoint, CoreError) else None)
    return {
        "install_path": observation.setup.install_path,
        "path_problem": str(executable) if isinstance(executable, PathInvalid) else None,
        "settings_problem": str(problem) if problem else None,
        "wanted_url": observation.setup.url if not isinstance(endpoint, CoreError) else None,
        "is_startable": not isinstance(endpoint, Endpoint) or endpoint.is_manageable,
        "meant_url": endpoint.suggestion if isinstance(endpoint, Endpoint) and not is_answered else None,
    }


def answered(probe: Probe) -> dict[str, Any]:
    """What an answer of Ollama changes."""
    return {"version": probe.version, "error": None, "cause": None}


def process_started(managed: Running, observation: Observation) -> dict[str, Any]:
    """What changes once a start with that observation has a process. It does not answer yet."""
    return common(observation) | NOBODY | {"url": managed.url, "pid": managed.pid, "error": NOT_REACHABLE}


def after_refusal(before: Status, error: CoreError, observation: Observation | None) -> dict[str, Any]:
    """What changes when a start is refused: back to the status before it, as far as its observation says no other.

    If the refused start was a retry after a crash, the state is `failed`: there is no other retry.
    """
    if before.state is State.BACKOFF:
        before = replace(before, state=State.FAILED, failure=error)
    change = interpret(before, observation) if observation else Interpretation({})
    return {"failure": before.failure} | change.changes | {"state": change.state or before.state}


def _cause(observation: Observation) -> str | None:
    """The reason why Ollama does not answer. None for a loopback port where nobody listens: there is nothing to add."""
    endpoint = observation.setup.endpoint
    is_plain = isinstance(endpoint, Endpoint) and endpoint.is_loopback and observation.probe.answer is Answer.NOBODY
    return None if is_plain else observation.probe.reason


def _program_of(known: Status | Observation) -> dict[str, Any]:
    """`install_path` of an Ollama that is not ours: the executable of the process that listens, where readable."""
    if isinstance(known, Status):
        return {"install_path": known.install_path} if known.state is State.EXTERNAL else {}
    return {"install_path": known.listener.executable} if known.listener and known.listener.is_ollama else {}


def _resting(status: Status, observation: Observation, always: dict[str, Any]) -> Interpretation:
    """The interpretation in a resting state: an Ollama that is not ours answers or hangs, or there is none."""
    probe, listener = observation.probe, observation.listener
    whose = {
        "pid": listener.pid if listener else None,
        "owner": listener.owner if listener else None,
        "by_hand": listener.by_hand if listener else None,
        # To name the owner that is in force already would change nothing.
        "offer": listener.offer if listener and listener.offer != observation.setup.owner else None,
    }
    if probe.answer is Answer.OLLAMA:
        change = always | _program_of(observation) | whose | answered(probe) | {"url": observation.url, "failure": None}
        if is_another(status, replace(status, **change)):
            change |= {"models": (), "models_error": None, "loaded": (), "stuck": None}
        return Interpretation(change, State.EXTERNAL)
    if is_hanging_external(status, observation):
        if status.state is State.EXTERNAL:
            return Interpretation(always | _program_of(status) | {"error": probe.error})
        change = (
            always | _program_of(observation) | whose | {"url": observation.url, "error": probe.error, "failure": None}
        )
        return Interpretation(change, State.EXTERNAL)
    holder = {"owner": listener.owner, "by_hand": listener.by_hand} if listener else {}
    nobody = always | NOBODY | holder | {"url": observation.url, "error": probe.error, "cause": _cause(observation)}
    if status.state in (State.BACKOFF, State.FAILED):
        return Interpretation(nobody, status.state)
    # For one that is elsewhere no program is needed here.
    has_program = observation.setup.install_path or observation.setup.owner != PROCESS or not always["is_startable"]
    return Interpretation(nobody, State.STOPPED if has_program else State.NOT_INSTALLED)


def is_another(before: Status, now: Status) -> bool:
    """Whether the Ollama at that address is another one than before."""
    return (before.url, before.pid) != (now.url, now.pid)


def is_hanging_external(status: Status, observation: Observation) -> bool:
    """Whether an Ollama that is not ours is there and hangs: it answered before, or its program has Ollama's name."""
    if observation.probe.answer is not Answer.SILENCE:
        return False
    was_there = status.state is State.EXTERNAL and status.url == observation.url
    return was_there or (observation.listener is not None and observation.listener.is_ollama)
