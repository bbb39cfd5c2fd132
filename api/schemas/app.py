"""The bodies of calls about the sidecar itself."""

from __future__ import annotations

import msgspec


class HealthBody(msgspec.Struct, frozen=True):
    """GET /healthz: the sidecar itself is alive, whatever Ollama does."""

    status: str
    name: str
    version: str


class ShownBody(msgspec.Struct, frozen=True):
    """POST /api/app/show: whether there was a tray to show, and if not, why."""

    shown: bool
    reason: str | None = None


class PageBody(msgspec.Struct, frozen=True):
    """POST /api/app/page: where a browser opens the page. Good for one time and one minute."""

    url: str


class TicketBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /api/app/token: the ticket of such an address."""

    ticket: str = ""


class TokenBody(msgspec.Struct, frozen=True):
    """The token, for this user's own browser."""

    token: str


class DescriptionBody(msgspec.Struct, frozen=True):
    """GET /openapi.json: an OpenAPI document, whose own specification says what it may hold."""
