"""The JSON that goes over the wire. Documented fields keep their names and meaning; the others are additions.

Sources: the feature document's "API Endpoints", and RFC 9457 for errors. Nulls are sent.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec

from core.endpoint import write_instead
from core.supervision.state import ModelsNews, State, Status
from core.text import size_text


class StatusBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/status. `age_ms` is how old the news is, `reason` why things are not as wished."""

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
    reason: str | None
    settings_error: str | None
    adopted: bool
    restarts: int
    age_ms: int


class StartedBody(msgspec.Struct, frozen=True):
    """POST /api/ollama/start."""

    success: bool
    message: str
    pid: int | None


class StoppedBody(msgspec.Struct, frozen=True):
    """POST /api/ollama/stop. There is no process any more, so `pid` is null."""

    success: bool
    message: str
    pid: None = None


class LogsBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/logs: the last lines, oldest first. `total_lines` is how many are returned.

    `error` says why there are none, if the log cannot be read.
    """

    logs: list[str]
    total_lines: int
    error: str | None = None


class ModelBody(msgspec.Struct, frozen=True, rename="camel"):
    """One installed model; `size` for people, `size_bytes` for programs."""

    name: str
    size: str
    size_bytes: int
    modified_at: str


class ModelsBody(msgspec.Struct, frozen=True):
    """GET /api/ollama/models. While Ollama does not answer, `error` says why, and the list may be an earlier one."""

    models: list[ModelBody]
    count: int
    error: str | None = None


class HealthBody(msgspec.Struct, frozen=True):
    """GET /healthz: the sidecar itself is alive, whatever Ollama does."""

    status: str
    name: str
    version: str


class ShownBody(msgspec.Struct, frozen=True):
    """POST /api/app/show: whether there was a tray to show, and if not, why."""

    shown: bool
    reason: str | None = None


class ServerEventBody(msgspec.Struct, frozen=True):
    """One event of a stream. `id` is what a reader comes back with, as `Last-Event-ID`.

    `data` is one line: of the log, or a JSON object whose `type` is that of the event.
    """

    data: str
    id: str = ""
    event: str = "message"


class DescriptionBody(msgspec.Struct, frozen=True):
    """GET /openapi.json: an OpenAPI document, whose own specification says what it may hold."""


class ProblemBody(msgspec.Struct, frozen=True):
    """An error, with what RFC 9457 asks for and what the Aura app's screens show."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    success: bool = False
    action: str | None = None


def status_body(status: Status) -> StatusBody:
    """The wire's view of a snapshot."""
    return StatusBody(
        running=status.is_running,
        pid=status.pid,
        managed_by_app=status.is_managed,
        model=status.loaded[0] if status.loaded else None,
        error=status.error,
        installed=status.install_path is not None or status.state is State.EXTERNAL,
        version=status.version,
        install_path=str(status.install_path) if status.install_path else None,
        state=status.state,
        wanted=status.wanted,
        base_url=status.url,
        owner=status.owner,
        reason=_reason(status),
        settings_error=status.settings_problem,
        adopted=status.adopted,
        restarts=status.restarts,
        age_ms=max(0, round((time.monotonic() - status.seen_at) * 1000)),
    )


def _reason(status: Status) -> str | None:
    if status.failure:
        return status.failure.message
    if status.waits_for:
        return status.waits_for
    if status.is_managed and status.wanted_url not in (None, status.url):
        return f"ollamaUrl is now {status.wanted_url}; Ollama runs at {status.url} until it is stopped."
    if status.is_running:
        return status.cause
    if status.meant_url:
        return f"No Ollama answers at {status.wanted_url}. {write_instead(status.meant_url)}"
    if status.owner:
        return f"The port is held by {status.owner}, which does not answer as an Ollama."
    return status.settings_problem or status.path_problem or status.cause


def models_body(news: ModelsNews) -> ModelsBody:
    """The wire's view of Ollama's list."""
    rows = [
        ModelBody(model.name, size_text(model.size), model.size, utc_text(model.modified_at)) for model in news.models
    ]
    return ModelsBody(rows, len(rows), news.error)


def utc_text(timestamp: str) -> str:
    """An RFC 3339 time in UTC with whole seconds; what is no such time is passed on as it is."""
    try:
        moment = datetime.fromisoformat(timestamp)
        if moment.tzinfo is None:
            return timestamp
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return timestamp
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
