"""Ollama's API as far as we use it: https://github.com/ollama/ollama/blob/main/docs/api.md. One client per server.

Answers are limited where they are decoded, and one bad entry never makes a whole list unusable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Self, TypeVar

import msgspec

from core.ollama import models
from core.ollama.answers import NULL, Answer, decoded, error_of
from core.ollama.call import BadAnswer, Caller, HttpStatus, TimedOut
from core.ollama.decode import text, whole_number
from core.ollama.models import LoadedModel, Model, ModelList, ShownModel

log = logging.getLogger(__name__)

M = TypeVar("M", Model, LoadedModel)

MOST_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10
_SHOWN_BYTES = 2 << 20
_TOKEN_BYTES = 1 << 20
_LOOP_BYTES = 64 << 10
_TEXT_LENGTH = 64
_MOST_ANSWER = 20_000
_BAD_REQUEST = 400


class _Version(Answer):
    version: msgspec.Raw = NULL


class _Answered(Answer):
    response: msgspec.Raw = NULL


class _Generated(Answer):
    load_duration: msgspec.Raw = NULL
    prompt_eval_duration: msgspec.Raw = NULL


class Client:
    """Calls one server. Every call raises `CallFailed`, and nothing else. An async context manager.

    Proxy variables are obeyed for other machines and ignored for this one. `login` is sent as Basic authorization.
    """

    def __init__(self, base_url: str, *, is_local: bool, login: tuple[str, str] | None = None) -> None:
        self._caller = Caller(base_url, is_local=is_local, login=login, words_of=error_of)
        self._identified_at = -1
        self._left_out: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        await self._caller.close()

    async def version(self, timeout: float) -> str:
        """The server's version, within `timeout` seconds; at most 64 characters."""
        body = await self._caller.call("/api/version", timeout, most=_SMALL_BYTES)
        version = text(decoded(body, _Version).version, _TEXT_LENGTH)
        if not version:
            raise BadAnswer("It names no version.")
        return version

    async def identify(self, greeting: float, listing: float) -> None:
        """Check that the server that answered last is an Ollama: `GET /` says so, or `/api/tags` lists models.

        The version is not enough, since other programs have an `/api/version` too. Checked once per connection, because
        one connection leads to one server; then it takes up to `greeting` and `listing` seconds. Raises as `tags` if it
        is none. `TimedOut`, or an `HttpStatus` of 500 and more, says neither that it is one nor that it is none.
        """
        connections = self._caller.connections
        if connections == self._identified_at:
            return
        body = b""
        with suppress(HttpStatus, BadAnswer, TimedOut):
            body = await self._caller.call("/", greeting, most=_SMALL_BYTES)
        if body.strip() != b"Ollama is running":
            await self.tags(listing)
        self._identified_at = connections

    async def tags(self, timeout: float) -> ModelList[Model]:
        """The installed models, within `timeout` seconds; at most 10,000."""
        return await self._models("/api/tags", timeout, models.installed)

    async def loaded(self, timeout: float) -> ModelList[LoadedModel]:
        """The models in memory, within `timeout` seconds; at most 100."""
        return await self._models("/api/ps", timeout, models.in_memory)

    async def show(self, model: str, timeout: float) -> ShownModel:
        """What Ollama knows of an installed model. `HttpStatus` 404 if it has none of that name."""
        content = msgspec.json.encode({"model": model})
        body = await self._caller.call("/api/show", timeout, most=_SHOWN_BYTES, content=content)
        return models.shown(body) if len(body) <= _LOOP_BYTES else await asyncio.to_thread(models.shown, body)

    async def load(self, model: str, timeout: float) -> None:
        """Load a model into memory, where Ollama keeps it as long as any idle one. `HttpStatus` 404 if it has none.

        A request to generate without a prompt loads it, as the API document says under "Load a model". A model that
        only embeds refuses that with 400, and is loaded by a request to embed nothing.
        """
        content = msgspec.json.encode({"model": model, "stream": False})
        try:
            await self._told("/api/generate", timeout, content)
        except HttpStatus as error:
            if error.code != _BAD_REQUEST:
                raise
            try:
                await self._told("/api/embed", timeout, msgspec.json.encode({"model": model, "input": []}))
            except HttpStatus:
                raise error from None

    async def unload(self, model: str, timeout: float) -> None:
        """Unload a model from memory: `keep_alive` 0, as "Unload a model" in Ollama's API document says.

        One that is at work goes once that is done, which is not waited for. `HttpStatus` 404 if there is none.
        """
        await self._told(
            "/api/generate", timeout, msgspec.json.encode({"model": model, "keep_alive": 0, "stream": False})
        )

    async def first_token(self, model: str, timeout: float, *, keep_alive: float, context: int | None) -> float:
        """Have a model make one token: the seconds until that, as Ollama tells them, 0 if it does not.

        `keep_alive` is for how many seconds the model is kept in memory afterwards, below 0 for ever. `context` is the
        length of the context that it is loaded with: another one would have it loaded anew. None: the model's own.
        """
        options = {"num_predict": 1} | ({} if context is None else {"num_ctx": context})
        asked = {
            "model": model,
            "prompt": "1",
            "raw": True,
            "stream": False,
            "keep_alive": -1 if keep_alive < 0 else f"{keep_alive:.0f}s",
            "options": options,
        }
        body = await self._caller.call("/api/generate", timeout, most=_TOKEN_BYTES, content=msgspec.json.encode(asked))
        told = decoded(body, _Generated)
        return (whole_number(told.load_duration) + whole_number(told.prompt_eval_duration)) / 1e9

    async def ask(self, model: str, question: str, timeout: float, *, most_tokens: int) -> str:
        """What a model answers to a question, cut after so many tokens. `HttpStatus` 404 if there is none."""
        asked = {"model": model, "prompt": question, "stream": False, "options": {"num_predict": most_tokens}}
        body = await self._caller.call("/api/generate", timeout, most=_TOKEN_BYTES, content=msgspec.json.encode(asked))
        return text(decoded(body, _Answered).response, _MOST_ANSWER)

    async def delete(self, model: str, timeout: float) -> None:
        """Delete an installed model. `HttpStatus` 404 if there is none of that name."""
        content = msgspec.json.encode({"model": model})
        body = await self._caller.call("/api/delete", timeout, most=_SMALL_BYTES, content=content, method="DELETE")
        if body.strip():
            decoded(body, Answer)

    async def _told(self, path: str, timeout: float, content: bytes) -> None:
        """POST, and use no more of the answer than that it is not an error."""
        decoded(await self._caller.call(path, timeout, most=_SMALL_BYTES, content=content), Answer)

    async def _models(self, path: str, timeout: float, read: Callable[[bytes], ModelList[M]]) -> ModelList[M]:
        body = await self._caller.call(path, timeout, most=MOST_BYTES)
        found = read(body) if len(body) <= _LOOP_BYTES else await asyncio.to_thread(read, body)
        if found.left_out != self._left_out.get(path, 0):
            self._left_out[path] = found.left_out
            log.warning("%s: %d models are left out: too many, or without a usable name", path, found.left_out)
        return found
