"""The bodies of Ollama's health."""

from __future__ import annotations

import msgspec

from core.models.health import Health


class OllamaHealthBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/health. The names of models are as last listed while Ollama hangs; `last_checked` is in UTC."""

    is_healthy: bool
    version: str | None
    available_models: list[str]
    running_models: list[str]
    base_url: str
    response_time_ms: int
    error_message: str | None
    last_checked: str


def health_body(health: Health) -> OllamaHealthBody:
    """The wire's view of it."""
    return OllamaHealthBody(
        is_healthy=health.is_healthy,
        version=health.version,
        available_models=list(health.available),
        running_models=list(health.running),
        base_url=health.url,
        response_time_ms=round(health.seconds * 1000),
        error_message=health.error,
        last_checked=health.checked_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
