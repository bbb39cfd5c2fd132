"""Ollama's HTTP calls: https://github.com/ollama/ollama/blob/main/docs/api.md. One client per base URL."""

from __future__ import annotations

from typing import Self, TypeVar

import aiohttp
import msgspec

from core.decode import from_json

MARK = "by=aura-ollama"
"""The query of all that is asked here. Ollama ignores it and prints it in its log, so our own calls can be told apart."""

MOST_BYTES = 8 << 20
T = TypeVar("T")


class Version(msgspec.Struct, frozen=True):
    """GET /api/version."""

    version: str


class Model(msgspec.Struct, frozen=True):
    """One installed model of GET /api/tags. `size` is in bytes, `modified_at` RFC 3339."""

    name: str
    size: int = 0
    modified_at: str = ""


class Models(msgspec.Struct, frozen=True):
    """GET /api/tags and GET /api/ps."""

    models: list[Model] | None = None


class HttpStatus(Exception):
    """Something answered, but not with 200."""

    def __init__(self, code: int) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code


class Client:
    """Calls one server. Raises `aiohttp.ClientError`, `TimeoutError`, `HttpStatus`, or `msgspec.MsgspecError`.

    An async context manager. Proxy variables are obeyed for other machines and ignored for this one.
    """

    def __init__(self, base_url: str, *, is_local: bool) -> None:
        self._base_url = base_url
        self._session = aiohttp.ClientSession(trust_env=not is_local)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        await self._session.close()

    async def version(self, timeout: float) -> str:
        """The server's version, within `timeout` seconds."""
        return (await self._get("/api/version", Version, timeout)).version

    async def tags(self, timeout: float) -> list[Model]:
        """The installed models, within `timeout` seconds."""
        return (await self._get("/api/tags", Models, timeout)).models or []

    async def loaded(self, timeout: float) -> list[Model]:
        """The models in memory, within `timeout` seconds."""
        return (await self._get("/api/ps", Models, timeout)).models or []

    async def unload(self, model: str, timeout: float) -> None:
        """Take a model out of memory: `keep_alive` 0, as the API document says under "Unload a model"."""
        limit = aiohttp.ClientTimeout(total=timeout)
        body = msgspec.json.encode({"model": model, "keep_alive": 0, "stream": False})
        headers = {"Content-Type": "application/json"}
        url = self._url("/api/generate")
        async with self._session.post(url, data=body, headers=headers, timeout=limit) as response:
            if response.status != 200:
                raise HttpStatus(response.status)

    def _url(self, path: str) -> str:
        return f"{self._base_url}{path}?{MARK}"

    async def _get(self, path: str, shape: type[T], timeout: float) -> T:
        limit = aiohttp.ClientTimeout(total=timeout)
        # A redirect leads to another server than the one that was asked about.
        async with self._session.get(self._url(path), timeout=limit, allow_redirects=False) as response:
            if response.status != 200:
                raise HttpStatus(response.status)
            # A stranger on the port may stream without end.
            body = await response.content.read(MOST_BYTES)
            while len(body) < MOST_BYTES and (chunk := await response.content.read(MOST_BYTES - len(body))):
                body += chunk
            return from_json(body, shape)
