"""The bodies of models."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from core.supervision.state import ModelsNews
from core.text import size_text


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
