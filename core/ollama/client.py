"""Ollama's API as far as we use it: https://github.com/ollama/ollama/blob/main/docs/api.md. One client per server.

What a server sends is bounded where it is decoded, and one odd entry never spoils a list.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeVar

import msgspec

from core.ollama.call import BadAnswer, Caller, Complaint, HttpStatus, TimedOut
from core.ollama.decode import from_json, printable, text, whole_number

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_MODELS = 10_000
MOST_LOADED = 100
MOST_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10
_LOOP_BYTES = 64 << 10
# A list of 8 MiB holds some 20,000 models of a dozen fields. One of more values than this is no list of models, and
# decoding it would hold the interpreter's lock, and with it the event loop, for up to a quarter of a second.
_MOST_COMMAS = 500_000
_NAME_LENGTH = 256
_TEXT_LENGTH = 64
_ERROR_LENGTH = 200
_NULL = msgspec.Raw(b"null")
_NO_ERROR = (b"null", b"false", b"{}", b"[]")


class Model(msgspec.Struct, frozen=True):
    """One installed or loaded model. `size` is in bytes, 0 if not known; `modified_at` is RFC 3339, or empty."""

    name: str
    size: int = 0
    modified_at: str = ""


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models that a server lists. `left_out` counts those beyond the limit and those without a usable name."""

    models: tuple[Model, ...] = ()
    left_out: int = 0


class _Answer(msgspec.Struct):
    error: msgspec.Raw = _NULL


class _Message(msgspec.Struct):
    message: str


class _Version(_Answer):
    version: msgspec.Raw = _NULL


class _Models(_Answer):
    models: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


class _Row(msgspec.Struct):
    name: msgspec.Raw = _NULL
    size: msgspec.Raw = _NULL
    modified_at: msgspec.Raw = _NULL


class Client:
    """Calls one server. Every call raises `CallFailed`, and nothing else. An async context manager.

    Proxy variables are obeyed for other machines and ignored for this one. `login` is sent as Basic authorization.
    """

    def __init__(self, base_url: str, *, is_local: bool, login: tuple[str, str] | None = None) -> None:
        self._caller = Caller(base_url, is_local=is_local, login=login, words_of=_words)
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
        return _version(await self._caller.call("/api/version", timeout, most=_SMALL_BYTES))

    async def identify(self, greeting: float, listing: float) -> None:
        """Return if the server that answered last is an Ollama: `GET /` says so, or `/api/tags` lists models.

        Others have an `/api/version` too. Asked once for each new connection, as the same connection leads to the same
        server; takes up to `greeting` and `listing` seconds then. If it is none, raises what the list of models raises.
        `TimedOut`, or an `HttpStatus` of 500 and more, says neither that it is one nor that it is none.
        """
        connections = self._caller.connections
        if connections == self._identified_at:
            return
        if not await self._greets(greeting):
            await self.tags(listing)
        self._identified_at = connections

    async def _greets(self, timeout: float) -> bool:
        try:
            body = await self._caller.call("/", timeout, most=_SMALL_BYTES)
        except (HttpStatus, BadAnswer, TimedOut):
            return False
        return body.strip() == b"Ollama is running"

    async def tags(self, timeout: float) -> ModelList:
        """The installed models, within `timeout` seconds; at most 10,000."""
        return await self._models("/api/tags", timeout, MOST_MODELS)

    async def loaded(self, timeout: float) -> ModelList:
        """The models in memory, within `timeout` seconds; at most 100."""
        return await self._models("/api/ps", timeout, MOST_LOADED)

    async def unload(self, model: str, timeout: float) -> None:
        """Take a model out of memory: `keep_alive` 0, as the API document says under "Unload a model"."""
        content = msgspec.json.encode({"model": model, "keep_alive": 0, "stream": False})
        _decoded(await self._caller.call("/api/generate", timeout, most=_SMALL_BYTES, content=content), _Answer)

    async def _models(self, path: str, timeout: float, most: int) -> ModelList:
        body = await self._caller.call(path, timeout, most=MOST_BYTES)
        is_short = len(body) <= _LOOP_BYTES
        found = _model_list(body, most) if is_short else await asyncio.to_thread(_model_list, body, most)
        if found.left_out != self._left_out.get(path, 0):
            self._left_out[path] = found.left_out
            log.warning("%s: %d models are left out: too many, or without a usable name", path, found.left_out)
        return found


def _decoded(body: bytes, shape: type[T]) -> T:
    """The answer. Raises `Complaint` with the server's own error, or `BadAnswer`."""
    if body.count(b",") > _MOST_COMMAS:
        raise BadAnswer("Its answer holds too many values.")
    try:
        answer = from_json(body, shape)
    except msgspec.MsgspecError:
        raise BadAnswer("Its answer is not what an Ollama sends.") from None
    if isinstance(answer, _Answer) and (error := _error_in(answer)):
        raise Complaint(error)
    return answer


def _error_in(answer: _Answer) -> str:
    """The error that an answer tells of, empty if it tells of none.

    Ollama's is a text; that of `/v1` and of proxies before an Ollama is an object with a `message`. Whatever else
    stands there is told as it stands there, unless it is empty.
    """
    said = ""
    with suppress(msgspec.MsgspecError):
        said = from_json(answer.error, _Message).message
    with suppress(msgspec.MsgspecError):
        said = from_json(answer.error, str)
    content = bytes(answer.error)
    if not said and content[:1] != b'"' and b"".join(content.split()) not in _NO_ERROR:
        said = content.decode("utf-8", "replace")
    return printable(" ".join(said.split()), _ERROR_LENGTH)


def _words(body: bytes) -> str:
    """The error that comes in the body of a failed call, empty if there is none to read."""
    try:
        return _error_in(from_json(body, _Answer))
    except msgspec.MsgspecError:
        return ""


def _version(body: bytes) -> str:
    version = text(_decoded(body, _Version).version, _TEXT_LENGTH)
    if not version:
        raise BadAnswer("It names no version.")
    return version


def _model_list(body: bytes, most: int) -> ModelList:
    """The list in `body`, cut to `most` models. Takes some 30 ms for 10,000."""
    rows = _decoded(body, _Models).models
    if rows is msgspec.UNSET:
        raise BadAnswer("It lists no models.")
    found = [model for row in (rows or [])[:most] if (model := _model(row))]
    return ModelList(tuple(found), len(rows or []) - len(found))


def _model(raw: msgspec.Raw) -> Model | None:
    """The model of one row, None if nobody could call it by its name: it has none, or one that does not print."""
    try:
        row = from_json(raw, _Row)
        name = from_json(row.name, str)
    except msgspec.MsgspecError:
        return None
    if not 1 <= len(name) <= _NAME_LENGTH or not name.isprintable():
        return None
    return Model(name, whole_number(row.size), text(row.modified_at, _TEXT_LENGTH))
