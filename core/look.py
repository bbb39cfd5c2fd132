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

from core import detect, locate
from core.client import Client
from core.config import Settings, SettingsReader
from core.detect import Answer, Listing, Probe
from core.endpoint import Endpoint, redacted
from core.errors import ConfigError, CoreError
from core.listener import Listener, find_listener
from core.platform import birth
from core.state import NOT_REACHABLE

_UNREADABLE_SECONDS = 5.0
_LISTING_SECONDS = 1.0


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
    """What was seen, and where: `url` is the endpoint that was probed. `listing` is None if no Ollama answers there."""

    setup: Setup
    url: str
    probe: Probe
    listener: Listener | None
    listing: Listing | None = None


def _stamp(executable: Path | CoreError) -> Hashable:
    if isinstance(executable, CoreError):
        return executable.code
    try:
        stat = executable.stat()
    except OSError:
        return None
    return executable, stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode


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
        self._clients: dict[Endpoint, Client] = {}
        self._endpoint: Endpoint | None = None
        self._listener: tuple[Endpoint, Listener, str | None, float] | None = None

    async def close(self) -> None:
        """Drop all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def client(self, endpoint: Endpoint) -> Client:
        """The client for an endpoint, made on first use and kept.

        It logs in as the settings say, also if `endpoint` was made of a URL that we show, which holds no login.
        """
        if self._endpoint and self._endpoint.base_url == endpoint.base_url:
            endpoint = self._endpoint
        if endpoint not in self._clients:
            self._clients[endpoint] = Client(endpoint.base_url, is_local=endpoint.is_local, login=endpoint.login)
        return self._clients[endpoint]

    async def setup(self) -> Setup:
        """The settings as they are on disk now, or the last good ones with their `problem`."""
        setup = await asyncio.to_thread(self._setup)
        self._endpoint = setup.endpoint if isinstance(setup.endpoint, Endpoint) else None
        return setup

    def _setup(self) -> Setup:
        settings = self._reader.read()
        endpoint: Endpoint | ConfigError
        executable: Path | CoreError
        try:
            endpoint = Endpoint.parse(settings.ollama_url)
        except ConfigError as error:
            endpoint = error
        try:
            executable = locate.locate(settings.ollama_executable_path)
        except CoreError as error:
            executable = error
        fingerprint = settings.fingerprint, _stamp(executable)
        return Setup(settings, endpoint, executable, self._reader.problem, fingerprint)

    async def look(self, managed_url: str | None) -> Look:
        """Look once, within 5 s. With a managed Ollama its own URL is probed, and nobody else can be the listener."""
        setup = await self.setup()
        endpoint = Endpoint.parse(managed_url) if managed_url else setup.endpoint
        if isinstance(endpoint, ConfigError):
            return Look(setup, setup.url, Probe(Answer.NOBODY, NOT_REACHABLE), None)
        probe = await detect.probe(self.client(endpoint))
        listener = None
        is_anybody_there = probe.answer not in (Answer.NOBODY, Answer.NOT_ASKED)
        if not managed_url and endpoint.is_local and is_anybody_there:
            listener = await asyncio.to_thread(self._find_listener, endpoint)
        listing = None
        if probe.answer is Answer.OLLAMA:
            listing = await detect.listing(self.client(endpoint), _LISTING_SECONDS)
        return Look(setup, endpoint.base_url, probe, listener, listing)

    def _find_listener(self, endpoint: Endpoint) -> Listener | None:
        # The socket table is read again only once the last listener may be another.
        if self._listener:
            where, listener, born, seen_at = self._listener
            if where == endpoint and _is_still_there(listener, born, seen_at):
                return listener
        found = find_listener(endpoint)
        if found is None:
            self._listener = None
        else:
            self._listener = (endpoint, found, _born(found), time.monotonic())
        return found
