"""Observes everything outside: the settings, the executable, the endpoint, and who listens there.

Reads only; `interpret` says what it means. What goes wrong is part of the observation: observing does not raise.
Belongs to the supervisor's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.endpoint import Endpoint, redacted
from core.errors import ConfigError, CoreError
from core.ollama import probe as ollama_probe
from core.ollama.client import Client
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.executable import Found, Locator
from core.ollama.listener import Listener, find_listener
from core.ollama.probe import Answer, Probe
from core.platform import birth
from core.settings import owner
from core.settings.owner import PROCESS
from core.settings.reader import Settings, SettingsReader
from core.supervision.instance import Instance

log = logging.getLogger(__name__)

_UNREADABLE_SECONDS = 5.0
_CACHE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings in force for one instance, and what they lead to. A field that cannot be had holds the error.

    `owner` is the text of the owner that is to run it. `fingerprint` changes with any value in force and with the
    executable file. `is_unknown`: Aura's settings have never been readable, so their defaults are in force.
    """

    settings: Settings
    endpoint: Endpoint | ConfigError
    executable: Path | CoreError
    problem: ConfigError | None
    fingerprint: Hashable
    is_unknown: bool = False
    owner: str = PROCESS

    @property
    def install_path(self) -> Path | None:
        """The executable that a start would run."""
        return self.executable if isinstance(self.executable, Path) else None

    @property
    def url(self) -> str:
        """The endpoint's base URL, or the invalid text in the settings; without credentials."""
        return self.endpoint.base_url if isinstance(self.endpoint, Endpoint) else redacted(self.settings.ollama_url)


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found, and where: `url` is the endpoint that was probed."""

    setup: Setup
    url: str
    probe: Probe
    listener: Listener | None


@dataclass(frozen=True, slots=True)
class _CachedListener:
    """A listener that was found or checked at `checked_at` (monotonic). `birth` is None if it could not be read."""

    endpoint: Endpoint
    listener: Listener
    birth: str | None
    checked_at: float

    def is_recent(self) -> bool:
        """Whether it was checked within the last 15 s. False without a pid: then nobody watches its end."""
        return self.listener.pid is not None and time.monotonic() - self.checked_at < _CACHE_SECONDS

    def is_valid(self) -> bool:
        """Whether its process is alive or, if the system hides the pid, it was found within the last 5 s. Blocks."""
        if self.listener.pid is None:
            return time.monotonic() - self.checked_at < _UNREADABLE_SECONDS
        try:
            return birth(self.listener.pid) == self.birth
        except OSError:
            # If births cannot be read, another listener could not be identified either.
            return True


class Observer:
    """Makes observations, and keeps the clients and the last listener between them."""

    def __init__(self, reader: SettingsReader, instance: Instance | None = None) -> None:
        """`instance` is the one that is observed, `default` if none is given."""
        self._reader = reader
        instance = instance or Instance()
        self._url, self._owner = instance.url, instance.owner
        self._locator = Locator()
        self._clients: dict[Endpoint, Client] = {}
        self._listers: dict[Endpoint, Client] = {}
        self._endpoint: Endpoint | None = None
        self._last_answer = Answer.NOBODY
        self._found: tuple[float, str | None, Found] | None = None
        self._cached: _CachedListener | None = None

    async def close(self) -> None:
        """Drop all connections."""
        for client in [*self._clients.values(), *self._listers.values()]:
            await client.close()
        self._clients.clear()
        self._listers.clear()

    def client(self, endpoint: Endpoint) -> Client:
        """The client for probes of an endpoint, made on first use and kept, with its connection.

        It logs in as the settings say, even if `endpoint` was parsed from a URL that we publish, which has no login.
        """
        return self._kept(self._clients, endpoint)

    def lister(self, endpoint: Endpoint) -> Client:
        """The client for lists of models, kept too: a probe goes by what becomes of its own connection."""
        return self._kept(self._listers, endpoint)

    def with_login(self, endpoint: Endpoint) -> Endpoint:
        """That endpoint with the login of the settings, if it is the one that they name."""
        is_named = self._endpoint and self._endpoint.base_url == endpoint.base_url
        return self._endpoint if self._endpoint and is_named else endpoint

    def _kept(self, clients: dict[Endpoint, Client], endpoint: Endpoint) -> Client:
        endpoint = self.with_login(endpoint)
        if endpoint not in clients:
            clients[endpoint] = Client(endpoint.base_url, is_local=endpoint.is_local, login=endpoint.login)
        return clients[endpoint]

    async def setup(self, *, allow_cached: bool = False) -> Setup:
        """The settings as they are on disk now, or the last good ones with their `problem`. Takes 2 s at most.

        With `allow_cached` the executable may be the one that was found within the last 15 s.
        """
        reading = await self._reader.fresh()
        settings = replace(reading.settings, ollama_url=self._url) if self._url else reading.settings
        endpoint: Endpoint | ConfigError
        try:
            endpoint = Endpoint.parse(settings.ollama_url)
        except ConfigError as error:
            endpoint = error
        self._endpoint = endpoint if isinstance(endpoint, Endpoint) else None
        configured, now = settings.ollama_executable_path, time.monotonic()
        if allow_cached and self._found and self._found[1] == configured and now - self._found[0] < _CACHE_SECONDS:
            found = self._found[2]
        else:
            found = await self._locator.find(configured)
            self._found = now, configured, found
        fingerprint = settings.fingerprint, found.stamp
        by = self._owner or settings.sidecar.owner
        problem = reading.problem or owner.not_here(by)
        return Setup(settings, endpoint, found.executable, problem, fingerprint, reading.is_unknown, by)

    async def observe(self, managed_url: str | None, *, allow_cached: bool = False) -> Observation:
        """Observe once, within 8 s. With a managed Ollama its own URL is probed, and nobody else can be the listener.

        With `allow_cached`, which saves wake-ups, the executable, and a listener whose end is watched, may be those of
        15 s ago.
        """
        setup = await self.setup(allow_cached=allow_cached)
        endpoint = Endpoint.parse(managed_url) if managed_url else setup.endpoint
        if isinstance(endpoint, ConfigError):
            return Observation(setup, setup.url, Probe(Answer.NOBODY, NOT_REACHABLE), None)
        probe = await self.probe(endpoint, is_ours=managed_url is not None)
        listener = None
        is_as_before = probe.answer is self._last_answer
        if not is_as_before:
            # A process may let go of a port and live on.
            self._cached = None
        is_anybody_there = probe.answer not in (Answer.NOBODY, Answer.NOT_ASKED)
        if not managed_url and endpoint.is_local and is_anybody_there:
            is_kept = allow_cached and is_as_before
            if is_kept and self._cached and self._cached.endpoint == endpoint and self._cached.is_recent():
                listener = self._cached.listener
            else:
                listener = await self.listener(endpoint, allow_cached=True)
        self._last_answer = probe.answer
        if probe.version and listener and listener.is_ollama:
            # A version, and a program with Ollama's name: as good a sign as the greeting, which is late.
            probe = Probe(Answer.OLLAMA, None, probe.version)
        return Observation(setup, endpoint.base_url, probe, listener)

    async def probe(
        self, endpoint: Endpoint, *, is_ours: bool = False, seconds: float = ollama_probe.PROBE_SECONDS
    ) -> Probe:
        """Ask who answers there, as `core.ollama.probe.probe` does. Raises nothing: a failure to ask is NOT_ASKED."""
        try:
            return await ollama_probe.probe(self.client(endpoint), is_ours=is_ours, seconds=seconds)
        except Exception:
            # An unknown exception, caused by a proxy variable, a name or an answer, must not end the supervisor.
            log.debug("%s cannot be asked", endpoint.base_url, exc_info=True)
            return Probe(Answer.NOT_ASKED, NOT_REACHABLE, reason="It could not be asked.")

    async def listener(self, endpoint: Endpoint, *, allow_cached: bool = False) -> Listener | None:
        """The listener there, None if there is none or it cannot be found out.

        With `allow_cached` the last listener found there is the answer, as long as that process lives and the answer to
        `observe` is of the same kind.
        """

        def cached_or_found(endpoint: Endpoint) -> Listener | None:
            # The socket table is read again only if the last listener may have ended.
            cached = self._cached
            if cached and cached.endpoint == endpoint and cached.is_valid():
                if cached.listener.pid is not None:
                    self._cached = replace(cached, checked_at=time.monotonic())
                return cached.listener
            found, born = find_listener(endpoint), None
            with suppress(OSError):
                born = birth(found.pid) if found and found.pid else None
            self._cached = _CachedListener(endpoint, found, born, time.monotonic()) if found else None
            return found

        find = cached_or_found if allow_cached else find_listener
        try:
            return await asyncio.to_thread(find, endpoint)
        except Exception:
            log.exception("it cannot be found out who listens at %s", endpoint.base_url)
            return None
