"""One fresh look at everything outside: the settings, the executable, the endpoint, and who listens there.

Only looks; the supervisor alone draws conclusions. Belongs to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core import detect
from core.client import Client
from core.config import Settings, SettingsReader
from core.detect import Answer, Listener, Probe
from core.endpoint import Endpoint, redacted
from core.errors import ConfigError, CoreError
from core.locate import Locator
from core.platform import birth
from core.state import NOT_REACHABLE

_UNREADABLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings in force, and what they lead to. Errors stand in for what they prevent: a look never fails.

    `fingerprint` changes with any value in force and with the executable file.
    """

    settings: Settings
    endpoint: Endpoint | ConfigError
    executable: Path | CoreError
    problem: ConfigError | None
    fingerprint: Hashable

    @property
    def install_path(self) -> Path | None:
        """The executable that a start would run."""
        return self.executable if isinstance(self.executable, Path) else None

    @property
    def url(self) -> str:
        """The endpoint's base URL, or what the settings hold in its stead, without credentials."""
        return self.endpoint.base_url if isinstance(self.endpoint, Endpoint) else redacted(self.settings.ollama_url)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen, and where: `url` is the endpoint that was probed."""

    setup: Setup
    url: str
    probe: Probe
    listener: Listener | None


def _born(listener: Listener) -> str | None:
    with suppress(OSError):
        return birth(listener.pid) if listener.pid else None
    return None


def _is_still_there(listener: Listener, born: str | None, seen_at: float) -> bool:
    if listener.pid is None:
        return time.monotonic() - seen_at < _UNREADABLE_SECONDS
    try:
        return birth(listener.pid) == born
    except OSError:
        # Nor could it be found out who else is there.
        return True


class Looker:
    """Looks, with the clients and the last listener kept between looks."""

    def __init__(self, reader: SettingsReader) -> None:
        self._reader = reader
        self._locator = Locator()
        self._clients: dict[str, Client] = {}
        self._listener: tuple[Endpoint, Listener, str | None, float] | None = None

    async def close(self) -> None:
        """Drop all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def client(self, endpoint: Endpoint) -> Client:
        """The client for an endpoint, made on first use and kept."""
        if endpoint.base_url not in self._clients:
            self._clients[endpoint.base_url] = Client(endpoint.base_url, is_local=endpoint.is_local)
        return self._clients[endpoint.base_url]

    async def setup(self) -> Setup:
        """The settings as they are on disk now, or the last good ones with their `problem`."""
        reading = await self._reader.fresh()
        settings = reading.settings
        endpoint: Endpoint | ConfigError
        try:
            endpoint = Endpoint.parse(settings.ollama_url)
        except ConfigError as error:
            endpoint = error
        found = await self._locator.find(settings.ollama_executable_path)
        return Setup(settings, endpoint, found.executable, reading.problem, (settings.fingerprint, found.stamp))

    async def look(self, managed_url: str | None) -> Look:
        """Look once, within 4 s. With a managed Ollama its own URL is probed, and nobody else can be the listener."""
        setup = await self.setup()
        endpoint = Endpoint.parse(managed_url) if managed_url else setup.endpoint
        if isinstance(endpoint, ConfigError):
            return Look(setup, setup.url, Probe(Answer.NOBODY, NOT_REACHABLE), None)
        probe = await detect.probe(self.client(endpoint))
        listener = None
        is_anybody_there = probe.answer not in (Answer.NOBODY, Answer.NOT_ASKED)
        if not managed_url and endpoint.is_local and is_anybody_there:
            listener = await asyncio.to_thread(self._find_listener, endpoint)
        return Look(setup, endpoint.base_url, probe, listener)

    def _find_listener(self, endpoint: Endpoint) -> Listener | None:
        # The socket table is read again only once the last listener may be another.
        if self._listener:
            where, listener, born, seen_at = self._listener
            if where == endpoint and _is_still_there(listener, born, seen_at):
                return listener
        found = detect.find_listener(endpoint)
        if found is None:
            self._listener = None
        else:
            self._listener = (endpoint, found, _born(found), time.monotonic())
        return found
