"""Remembers which calls that change nothing have passed the checks, so that others exactly like them pass at once.

A program that polls sends the same bytes again and again. Only passes are kept, only of calls without a token, and only
until the settings are read anew, which is each quarter of a second while somebody asks.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from aiohttp import web

from api.openapi import is_private
from core.settings.reader import Settings

MOST_KEPT = 256


class Case(NamedTuple):
    """All that the checks judge such a call by, beside the settings. `own` is our end, `peer` the caller's address."""

    handler: Any
    method: str
    has_plain_path: bool
    raw_headers: tuple[tuple[bytes, bytes], ...]
    own: tuple[str, int]
    peer: str

    @classmethod
    def of(cls, request: web.Request, own: tuple[str, int], peer: str) -> Self | None:
        """None for a call that is judged by more: one that may change something, or reads what is private."""
        handler = request.match_info.handler
        if request.method not in ("GET", "HEAD") or is_private(handler):
            return None
        return cls(handler, request.method, request.raw_path.startswith("/"), request.raw_headers, own, peer)


class Verdicts:
    """What has passed, and the Origin whose pages may read the answer, if any. Belongs to the loop."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._passed: dict[Case | None, str | None] = {}

    def under(self, settings: Settings) -> dict[Case | None, str | None]:
        """What has passed under these very settings."""
        if settings is not self._settings:
            self._settings = settings
            self._passed = {}
        return self._passed

    def keep(self, case: Case | None, reader: str | None) -> None:
        """Remember that this case has passed."""
        if case is not None and len(self._passed) < MOST_KEPT:
            self._passed[case] = reader
