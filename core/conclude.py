"""What a look means for the status. Pure: from a status and a look to what changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.detect import Answer, Listing, Probe
from core.errors import CoreError
from core.look import Look
from core.state import RESTING, State, Status

NOBODY: dict[str, Any] = {
    "pid": None,
    "owner": None,
    "by_hand": None,
    "version": None,
    "models": (),
    "loaded": (),
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
    if look.probe.answer is Answer.NOT_ASKED and status.state is not State.UNKNOWN:
        return News(common(look))
    if status.state is State.RUNNING:
        return _managed(status, look, common(look))
    return _resting(status, look, common(look)) if status.state in RESTING else News(common(look))


def common(look: Look) -> dict[str, Any]:
    """What any look changes: the settings are what they are, whatever Ollama does."""
    endpoint = look.setup.endpoint
    problem = look.setup.problem or (endpoint if isinstance(endpoint, CoreError) else None)
    return {
        "install_path": look.setup.install_path,
        "settings_problem": str(problem) if problem else None,
        "wanted_url": look.setup.url if not isinstance(endpoint, CoreError) else None,
    }


def answered(probe: Probe, listing: Listing | None) -> dict[str, Any]:
    """What the answer of an Ollama changes. Models that could not be listed are those of before."""
    changes: dict[str, Any] = {"version": probe.version, "error": None}
    if listing and listing.models is not None:
        changes["models"] = listing.models
    if listing and listing.loaded is not None:
        changes["loaded"] = listing.loaded
    return changes


def _managed(status: Status, look: Look, always: dict[str, Any]) -> News:
    if look.probe.answer is Answer.OLLAMA:
        return News(always | answered(look.probe, look.listing), is_fresh=True)
    # It lives, as far as its shim says, but it does not answer: the last good snapshot grows old.
    return News(always | {"error": look.probe.error})


def _resting(status: Status, look: Look, always: dict[str, Any]) -> News:
    probe, listener = look.probe, look.listener
    if probe.answer is Answer.OLLAMA:
        whose = {
            "pid": listener.pid if listener else None,
            "owner": listener.owner if listener else None,
            "by_hand": listener.by_hand if listener else None,
        }
        news = always | whose | answered(probe, look.listing) | {"url": look.url, "failure": None}
        return News(news, State.EXTERNAL)
    if status.state is State.EXTERNAL and probe.answer is Answer.SILENCE and status.url == look.url:
        return News(always | {"error": probe.error})
    holder = {"owner": listener.owner, "by_hand": listener.by_hand} if listener else {}
    return News(always | NOBODY | holder | {"url": look.url, "error": probe.error}, _without(status, look))


def _without(status: Status, look: Look) -> State:
    """The resting state while no Ollama answers."""
    if status.state in (State.BACKOFF, State.FAILED):
        return status.state
    return State.STOPPED if look.setup.install_path else State.NOT_INSTALLED
