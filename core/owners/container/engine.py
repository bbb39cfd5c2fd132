"""Asks Docker or Podman through a socket of this machine: each call has a deadline, each refusal is put in words.

Who may open an engine's socket is root on this machine (or the engine's user, where it is rootless). So only sockets
that the user named or the engine itself put in its place are opened, and none over the network.

Belongs to the loop. A call makes a connection and closes it, so there is nothing to close.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import aiodocker
import aiohttp

from core.errors import os_error_in_words
from core.owners.container import facts, stats
from core.owners.container.facts import Container
from core.owners.container.stats import Stats
from core.platform.engines import LOCAL, PIPE, UNIX, has_socket, known_sockets
from core.threads.single_flight import within

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
"""How long an engine may take for an answer."""
START_SECONDS = 20.0
"""How long it may take for a start."""
_LOOK_SECONDS = 2.0
_SAID = 2000
"""How much of a refusal is told, in characters."""
# Of Docker 20.10; Podman speaks it too.
_OLDEST_API = "v1.41"
_VERSION = re.compile(r"[0-9]+\.[0-9]+")
_VARIABLES = ("DOCKER_HOST", "CONTAINER_HOST")
# unix(7): 108 bytes with the one that ends it; macOS has room for 104.
_LONGEST_PATH = 103
_OVER_NETWORK = ("tcp://", "http://", "https://", "ssh://", "fd://")


class EngineFault(Exception):
    """An engine cannot be asked, or refuses. Says so in a sentence; `action` is the way out.

    `is_away`: it does not answer at all, which says nothing about its containers.
    """

    def __init__(self, message: str, action: str | None = None, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.action = action
        self.is_away = is_away


class NoSuchContainer(EngineFault):
    """The engine has no container of that name."""


async def sockets() -> list[str]:
    """The sockets to ask, in order. DOCKER_HOST, or else CONTAINER_HOST, decides alone if it is set.

    Raises EngineFault if there is none, or if it names something else than a socket of this machine.
    """
    for variable in _VARIABLES:
        if url := os.environ.get(variable, "").strip():
            is_long = LOCAL == UNIX and len(os.fsencode(url.removeprefix(UNIX))) > _LONGEST_PATH
            if url.startswith(LOCAL) and len(url) > len(LOCAL) and not is_long:
                return [url]
            why = "is over the network" if url.startswith(_OVER_NETWORK) else "is not understood"
            if is_long:
                why = f"is longer than the path of a socket may be ({_LONGEST_PATH} bytes)"
            example = f"{LOCAL}/run/user/1000/docker.sock" if LOCAL == UNIX else f"{LOCAL}//./pipe/docker_engine"
            raise EngineFault(
                f"{variable} is {url!r}, which {why}: only a socket of this machine is used.",
                f"Set {variable} to one such as {example}, or leave it unset.",
            )
    known = known_sockets()
    try:
        there = await within(_LOOK_SECONDS, "engine sockets", lambda: [url for url in known if has_socket(url)])
    except TimeoutError:
        there = []
    if not there:
        places = ", ".join(url.removeprefix(LOCAL) for url in known)
        raise EngineFault(
            f"No container engine has a socket here: neither of {places} is there.",
            "Start Docker, or Podman's socket (`systemctl --user start podman.socket`), or name it in DOCKER_HOST.",
            is_away=True,
        )
    return there


class Event(NamedTuple):
    """What happened to a container, such as `start` or `die`, and when, in Unix time; the engine's clock tells."""

    action: str
    at: float


class Engine:
    """One engine, by the URL of its socket. Every method raises EngineFault."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._is_podman: bool | None = None

    @property
    def place(self) -> str:
        """Its socket, for people."""
        return self.url.removeprefix(UNIX).removeprefix(PIPE)

    async def inspect(self, name: str) -> Container:
        """What it knows of that container. Raises NoSuchContainer."""
        async with self._asked(name, CALL_SECONDS) as docker:
            answer = await docker.containers.container(name).show()
        try:
            return facts.parse(answer)
        except facts.EngineAnswerOdd as odd:
            raise _not_understood(self.place, odd) from odd

    async def start(self, name: str) -> None:
        """Start it; one that runs already stays as it is."""
        async with self._asked(name, START_SECONDS) as docker:
            await docker.containers.container(name).start()

    async def stop(self, name: str, grace: float) -> None:
        """Have it ended: asked, and killed after `grace` seconds. Returns once it has; one that is down stays so."""
        async with self._asked(name, grace + CALL_SECONDS * 2) as docker:
            await docker.containers.container(name).stop(t=max(1, round(grace)))

    async def stats(self, id: str) -> Stats:
        """What a container takes now."""
        async with self._asked(id, CALL_SECONDS) as docker:
            # Without `one-shot` Docker waits for a second measurement, to tell a share of the processor.
            answer = await self._get(docker, f"containers/{id}/stats", {"stream": "false", "one-shot": "true"})
            async with answer:
                # Podman does not always say that it is JSON.
                told = json.loads(await answer.read())
        try:
            return stats.parse(told)
        except facts.EngineAnswerOdd as odd:
            raise _not_understood(self.place, odd) from odd

    async def running(self) -> list[Container]:
        """All containers that run."""
        async with self._asked("", CALL_SECONDS) as docker:
            listed = await docker.containers.list()
            return [facts.parse(await container.show()) for container in listed]

    async def is_podman(self) -> bool:
        """Whether it is Podman. Asks only if it has never answered yet."""
        if self._is_podman is None:
            async with self._asked("", CALL_SECONDS):
                pass
        return bool(self._is_podman)

    @asynccontextmanager
    async def docker(self, seconds: float) -> AsyncIterator[aiodocker.Docker]:
        """The library's client, for calls that this class has not, with a deadline for all of the block together."""
        async with self._asked("", seconds) as docker:
            yield docker

    async def create_by_podman(self, docker: aiodocker.Docker, body: Mapping[str, object]) -> None:
        """Make a container by Podman's own API, through a client of `docker`; within that one's deadline."""
        url = f"{docker.docker_host}/v4.0.0/libpod/containers/create"
        async with docker.session.post(url, json=dict(body)) as answer:
            if answer.status >= 400:
                raise _refusal(self.place, await answer.read())

    async def events(self, name: str) -> AsyncGenerator[Event, None]:
        """What happens to that container from about now on; first one without an action, once the engine listens.

        What happened in the second before may be told too. Raises EngineFault when the connection ends.
        """
        filters = json.dumps({"type": ["container"], "container": [name]})
        # The engine begins to listen some time after it is asked, and Podman does not say when.
        parameters = {"filters": filters, "since": str(int(time.time()) - 1)}
        async with self._connected() as docker:
            asking = asyncio.ensure_future(self._get(docker, "events", parameters))
            try:
                yield Event("", time.time())
                # Podman sends the head of its answer with the first event.
                async for line in (await asking).content:
                    if line.strip():
                        told = json.loads(line)
                        yield Event(str(told.get("Action") or told.get("status")), told.get("timeNano", 0) / 1e9)
            finally:
                await _end(asking)
        raise EngineFault(f"{self.place} has ended its stream of events.", is_away=True)

    @asynccontextmanager
    async def lines(self, id: str, parameters: Mapping[str, str]) -> AsyncIterator[aiohttp.StreamReader]:
        """What a container prints, as the engine sends it. Only its beginning has a deadline."""
        async with self._connected() as docker:
            asking = asyncio.ensure_future(self._get(docker, f"containers/{id}/logs", parameters))
            try:
                yield (await asking).content
            finally:
                await _end(asking)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiodocker.Docker]:
        """The client for an answer that goes on, once the engine has answered."""
        with _words_for(self.place, ""):
            async with self._client(aiohttp.ClientTimeout(total=None)) as docker:
                yield docker

    @asynccontextmanager
    async def _client(self, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiodocker.Docker]:
        """The client, once the engine has answered, with the version of the API that the engine speaks.

        The library would ask for the version by a call for which Podman starts several programs.
        """
        async with aiodocker.Docker(self.url, timeout=timeout, api_version=_OLDEST_API) as docker:
            async with asyncio.timeout(CALL_SECONDS), docker.session.get(f"{docker.docker_host}/_ping") as answer:
                self._is_podman = "Libpod-API-Version" in answer.headers
                spoken = answer.headers.get("Api-Version", "")
                if _VERSION.fullmatch(spoken):
                    docker.api_version = f"v{spoken}"
            yield docker

    async def _get(self, docker: aiodocker.Docker, path: str, parameters: Mapping[str, str]) -> aiohttp.ClientResponse:
        url = f"{docker.docker_host}/{docker.api_version}/{path}"
        response = await docker.session.get(url, params=dict(parameters))
        if response.status >= 400:
            async with response:
                said = await response.content.read(_SAID)
            raise _refusal(self.place, said)
        return response

    @asynccontextmanager
    async def _asked(self, name: str, seconds: float) -> AsyncIterator[aiodocker.Docker]:
        with _words_for(self.place, name):
            async with asyncio.timeout(seconds), self._client(aiohttp.ClientTimeout(total=seconds)) as docker:
                yield docker


async def _end(asking: asyncio.Future[aiohttp.ClientResponse]) -> None:
    """Close the connection of an answer, whether it has begun or not."""
    asking.cancel()
    for answer in await asyncio.gather(asking, return_exceptions=True):
        if isinstance(answer, aiohttp.ClientResponse):
            answer.close()


class _words_for:  # noqa: N801 - used as a function, like contextlib.suppress
    """Turns what the library raises into EngineFault."""

    def __init__(self, place: str, name: str) -> None:
        self._place = place
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        match error:
            case aiodocker.DockerError(status=404) if self._name:
                raise NoSuchContainer(
                    f"{self._place} has no container {self._name}.",
                    "Name one that `docker ps --all` or `podman ps --all` lists, or make one with "
                    "`aura-ollama container create`.",
                ) from error
            case aiodocker.DockerError(status=900):
                # The library's own number for a connection that failed; the reason is what it was handling.
                reason = error.__context__
                if isinstance(reason, aiohttp.ClientConnectorError):
                    raise _why_not_connected(self._place, reason.os_error) from error
                raise _broken_off(self._place) from error
            case aiodocker.DockerError():
                raise _refusal(self._place, error.message) from error
            case TimeoutError():
                raise EngineFault(
                    f"{self._place} does not answer.",
                    "Restart the container engine; its containers may run on meanwhile.",
                    is_away=True,
                ) from error
            case aiohttp.ClientResponseError() | ValueError() | LookupError() | TypeError() | AttributeError():
                raise _not_understood(self._place, error) from error
            case OSError():
                raise _why_not_connected(self._place, getattr(error, "os_error", error)) from error
            case aiohttp.ClientError() | EOFError():
                raise _broken_off(self._place) from error


def _broken_off(place: str) -> EngineFault:
    return EngineFault(
        f"{place} has ended the connection.",
        "If its engine does not come back by itself, start it; see its log.",
        is_away=True,
    )


def _not_understood(place: str, why: Exception) -> EngineFault:
    log.warning("%s gave an answer that is not understood: %s: %s", place, type(why).__name__, why)
    return EngineFault(
        f"{place} gives an answer that is not understood.",
        "See whether what listens there is Docker or Podman, of a release that is not years old.",
        is_away=True,
    )


def _refusal(place: str, said: object) -> EngineFault:
    """The error for what an engine refuses: its own words, out of the JSON in which it puts them."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    with suppress(ValueError):
        answer = json.loads(text)
        if isinstance(answer, dict):
            text = str(answer.get("message") or answer.get("cause") or "it gives no reason")
    words = " ".join(text.split())[:_SAID].rstrip(".") or "it gives no reason"
    return EngineFault(f"{place} refuses: {words}.")


def _why_not_connected(place: str, error: OSError) -> EngineFault:
    if isinstance(error, PermissionError):
        return EngineFault(
            f"{place} may not be opened by this user.",
            "Who may open it is root on this machine. Ask its administrator for the group `docker`, or use a rootless "
            "engine: `systemctl --user start podman.socket`.",
            is_away=True,
        )
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return EngineFault(
            f"No container engine listens at {place}.",
            "Start it: `sudo systemctl start docker`, or for Podman `systemctl --user start podman.socket`.",
            is_away=True,
        )
    if isinstance(error, ConnectionError):
        return _broken_off(place)
    return EngineFault(f"{place} cannot be asked: {os_error_in_words(error)}.", is_away=True)
