"""The facts that several checks need, each found out once, and only if a check asks for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from core import files, token
from core.doctor.finding import NotChecked
from core.doctor.sidecar_view import SidecarView, view_sidecar
from core.endpoint import Endpoint
from core.errors import ConfigError, CoreError
from core.jobs.disk_room import models_folder
from core.logs.redact import secrets_of
from core.ollama.client import Client
from core.ollama.executable import Locator
from core.ollama.listener import Listener, find_listener
from core.ollama.probe import Answer, Probe, probe
from core.owners.run_record import record_path, to_record
from core.platform import birth, merged_environment
from core.settings.owner import PROCESS
from core.settings.paths import Paths
from core.settings.reader import Reading, Settings, SettingsReader
from core.threads.single_flight import within

READ_SECONDS = 2.0
"""What a disk gets to answer: then there is time left for what does not need it."""
_PROBE_SECONDS = 1.5
_TOKEN_SECONDS = 0.5
_VERSION_SECONDS = 2.0
_TABLE_SECONDS = 2.0
# Nobody listens at port 1 of this machine: the program is to tell its own version, not that of an Ollama that runs.
_NOWHERE = "127.0.0.1:1"

T = TypeVar("T")


class Fact(Generic[T]):
    """Something that is found out by one task, at the first question, however many ask."""

    def __init__(self, begin: Callable[[Coroutine[None, None, None]], None], find: Callable[[], Awaitable[T]]) -> None:
        """`begin` makes a task of the search."""
        self._begin = begin
        self._find = find
        self._found: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """What was found. Raises what the search raised."""
        if self._found is None:
            self._found = asyncio.get_running_loop().create_future()
            self._begin(self._settle(self._found))
        # A caller whose time is up must not end the search for the others.
        return await asyncio.shield(self._found)

    async def _settle(self, found: asyncio.Future[T]) -> None:
        try:
            found.set_result(await self._find())
        except Exception as error:
            found.set_exception(error)
            # Marks it as retrieved. Otherwise asyncio logs it if every caller has given up.
            found.exception()


class Case:
    """One examination of one data folder. Belongs to its loop; nothing here changes anything.

    The facts raise `NotChecked` where they depend on something that cannot be known, and TimeoutError or OSError where
    the system does not answer.
    """

    def __init__(self, paths: Paths, tasks: asyncio.TaskGroup) -> None:
        """What is searched for is searched in tasks of `tasks`; `close` ends those that are left."""
        self._tasks = tasks
        self._searches: list[asyncio.Task[None]] = []
        self.paths = paths
        self.secrets: set[bytes] = set(secrets_of(os.environ))
        """What no finding may show, as far as it is known by now."""
        self.reader = SettingsReader(paths, lambda env: self.secrets.update(secrets_of(env)))
        self.reading: Fact[Reading] = Fact(self._begin, lambda: self.reader.fresh(seconds=READ_SECONDS))
        self.sidecar: Fact[SidecarView] = Fact(self._begin, self._sidecar)
        self.token: Fact[str | None] = Fact(self._begin, self._token)
        self.executable: Fact[Path | CoreError] = Fact(self._begin, self._executable)
        self.installed_version: Fact[str] = Fact(self._begin, self._installed_version)
        self.probe: Fact[Probe] = Fact(self._begin, self._probe)
        self.listener: Fact[Listener | None] = Fact(self._begin, self._listener)
        self.own_pid: Fact[int | None] = Fact(self._begin, self._own_pid)
        self.models_folder: Fact[Path] = Fact(self._begin, self._models_folder)

    def close(self) -> None:
        """End the searches that are under way; nobody waits for them any more."""
        for search in self._searches:
            search.cancel()

    def _begin(self, search: Coroutine[None, None, None]) -> None:
        self._searches.append(self._tasks.create_task(search))

    async def settings(self) -> Settings:
        """The settings in force. Raises NotChecked if Aura's cannot be read: then nobody knows what they say."""
        reading = await self.reading.get()
        if reading.is_unknown:
            raise NotChecked("the settings cannot be read")
        return reading.settings

    async def endpoint(self) -> Endpoint:
        """Where Ollama is to answer. Raises NotChecked if the settings do not tell."""
        try:
            return Endpoint.parse((await self.settings()).ollama_url)
        except ConfigError:
            raise NotChecked("ollamaUrl is no address") from None

    async def is_answering(self) -> bool:
        """Whether an Ollama answers at that address, ours or another one."""
        return (await self.probe.get()).answer is Answer.OLLAMA

    def client(self, endpoint: Endpoint) -> Client:
        """A client for that Ollama, to be closed by the caller."""
        return Client(endpoint.base_url, is_local=endpoint.is_local, login=endpoint.login)

    async def _token(self) -> str | None:
        """The token, None if there is none yet. Raises OSError as `core.token.look`."""
        found = await within(READ_SECONDS, "token", lambda: token.look(self.paths.run))
        self.secrets.update({found.encode()} if found else ())
        return found

    async def _sidecar(self) -> SidecarView:
        secret = None
        with suppress(OSError):
            async with asyncio.timeout(_TOKEN_SECONDS):
                secret = await self.token.get()
        return await view_sidecar(self.paths, secret)

    async def _executable(self) -> Path | CoreError:
        return (await Locator().find((await self.settings()).ollama_executable_path)).executable

    async def _installed_version(self) -> str:
        """What the executable says of itself. Raises OSError if the system does not run it."""
        owner = (await self.settings()).sidecar.owner
        if owner != PROCESS:
            raise NotChecked(f"{owner} does not run")
        executable = await self.executable.get()
        if isinstance(executable, CoreError):
            raise NotChecked("there is no Ollama to ask")
        environment = merged_environment({**(await self.settings()).sidecar.env, "OLLAMA_HOST": _NOWHERE})

        def ask() -> str:
            done = subprocess.run(
                [executable, "--version"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_VERSION_SECONDS,
                check=False,
            )
            return done.stdout.decode("utf-8", "replace")

        try:
            return await within(_VERSION_SECONDS + 1, "ollama version", ask)
        except subprocess.TimeoutExpired:
            raise NotChecked(f"{executable} --version does not end") from None

    async def _probe(self) -> Probe:
        endpoint = await self.endpoint()
        async with self.client(endpoint) as client:
            return await probe(client, seconds=_PROBE_SECONDS)

    async def _listener(self) -> Listener | None:
        endpoint = await self.endpoint()
        if not endpoint.is_local:
            return None
        return await within(_TABLE_SECONDS, "listeners", lambda: find_listener(endpoint))

    async def _own_pid(self) -> int | None:
        """The pid of the Ollama that was started here, None if none runs: by the sidecar, else by the run record."""
        status = (await self.sidecar.get()).status
        if status is not None:
            return status.pid if status.managed_by_app else None

        def recorded() -> int | None:
            with suppress(FileNotFoundError, ValueError, RecursionError):
                record = to_record(json.loads(files.peek(str(record_path(self.paths.run)))[0]))
                return record.pid if record.exit_code is None and birth(record.pid) == record.birth else None
            return None

        return await within(READ_SECONDS, "run record", recorded)

    async def _models_folder(self) -> Path:
        """Where the Ollama that answers, or would be started here, keeps its models."""
        settings = await self.settings()
        endpoint = await self.endpoint()
        pid, added = await self.own_pid.get(), settings.sidecar.env
        if settings.sidecar.owner != PROCESS or (pid is None and await self.is_answering()):
            # Its environment is its own: nothing is known of it that it does not tell.
            listener = await self.listener.get()
            theirs = pid or (listener.pid if listener else None)
            folder = await within(_TABLE_SECONDS, "models", lambda: models_folder(theirs, None))
        elif not endpoint.is_manageable:
            folder = None
        else:
            folder = await within(_TABLE_SECONDS, "models", lambda: models_folder(pid, added))
        if folder is None:
            raise NotChecked("it is not known where this Ollama keeps its models")
        return folder
