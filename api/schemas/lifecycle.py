"""The bodies of status, start, stop and restart."""

from __future__ import annotations

import time

import msgspec

from core.endpoint import write_instead
from core.settings.owner import PROCESS
from core.supervision import told
from core.supervision.state import State, Status


class StatusBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/status. `age_ms` is how old the news is, `reason` why things are not as wished.

    `owner` says whose the port is if the Ollama there is not ours, and `offer` what the setting `owner` would have to
    be for us to control it. `controlled_by` is that setting as it is in force: `process`, `systemd:ollama.service`, ….

    `health` is what a container's own health check found last, `starting`, `healthy` or `unhealthy`, null without one;
    `owner_restarts` how often its owner started it again by itself since it was last started on purpose, null if that
    is not told. `restarts` are those that the sidecar has seen.

    For people, in the tray's words: `headline` is the state in a few of them, `detail` what more there is to say about
    it, and `action` what can be done about that; both null if there is nothing.
    """

    running: bool
    pid: int | None
    managed_by_app: bool
    model: str | None
    error: str | None
    installed: bool
    version: str | None
    install_path: str | None
    state: str
    wanted: str
    base_url: str
    owner: str | None
    offer: str | None
    startable: bool
    controlled_by: str
    reason: str | None
    settings_error: str | None
    adopted: bool
    restarts: int
    health: str | None
    owner_restarts: int | None
    age_ms: int
    headline: str
    detail: str | None
    action: str | None


class InstanceBody(StatusBody, frozen=True, rename="camel", kw_only=True):
    """GET /api/ollama/instances/{instance}: its status, and its `id`."""

    id: str


class InstancesBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/instances: all that the settings name, in their order."""

    instances: list[InstanceBody]


class StartedBody(msgspec.Struct, frozen=True):
    """POST /api/ollama/start, and /api/ollama/restart."""

    success: bool
    message: str
    pid: int | None


class StoppedBody(msgspec.Struct, frozen=True):
    """POST /api/ollama/stop. There is no process any more, so `pid` is null."""

    success: bool
    message: str
    pid: None = None


def status_body(status: Status) -> StatusBody:
    """The wire's view of a snapshot."""
    return StatusBody(
        running=status.is_running,
        pid=status.pid,
        managed_by_app=status.is_managed,
        model=status.loaded[0] if status.loaded else None,
        error=status.error,
        installed=status.install_path is not None or status.state is State.EXTERNAL or status.controlled_by != PROCESS,
        version=status.version,
        install_path=str(status.install_path) if status.install_path else None,
        state=status.state,
        wanted=status.wanted,
        base_url=status.url,
        owner=status.owner,
        offer=status.offer,
        startable=status.is_startable,
        controlled_by=status.controlled_by,
        reason=_reason(status),
        settings_error=status.settings_problem,
        adopted=status.adopted,
        restarts=status.restarts,
        health=status.condition.health,
        owner_restarts=status.condition.restarts,
        age_ms=_age_ms(status),
        headline=told.headline(status),
        detail=told.detail(status),
        action=told.way_out(status),
    )


class StatusView:
    """`status_body` for one who is asked much more often than there is a new snapshot."""

    def __init__(self) -> None:
        self._made_of: Status | None = None
        self._made: StatusBody | None = None

    def body(self, status: Status) -> StatusBody:
        """The wire's view of a snapshot. Of the one of the last call only the age is told anew."""
        if self._made is None or status is not self._made_of:
            self._made_of, self._made = status, status_body(status)
            return self._made
        return msgspec.structs.replace(self._made, age_ms=_age_ms(status))


def _age_ms(status: Status) -> int:
    return max(0, round((time.monotonic() - status.seen_at) * 1000))


def instance_body(instance: str, status: Status) -> InstanceBody:
    """The same with its id."""
    return InstanceBody(id=instance, **msgspec.structs.asdict(status_body(status)))


def _reason(status: Status) -> str | None:
    if status.failure:
        return status.failure.message
    if status.waits_for:
        return status.waits_for
    if status.stuck:
        return status.stuck
    if status.is_managed and status.wanted_url not in (None, status.url):
        return f"ollamaUrl is now {status.wanted_url}; Ollama runs at {status.url} until it is stopped."
    if status.owner_problem:
        return status.owner_problem
    if status.state is State.RUNNING and status.condition.problem:
        return status.condition.problem
    if status.is_running:
        return status.cause
    if status.meant_url:
        return f"No Ollama answers at {status.wanted_url}. {write_instead(status.meant_url)}"
    if status.owner:
        return f"The port is held by {status.owner}, which does not answer as an Ollama."
    # What another owner runs has a program of its own.
    path_problem = status.path_problem if status.controlled_by == PROCESS else None
    return status.settings_problem or path_problem or status.cause
