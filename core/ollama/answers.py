"""What every answer of an Ollama may hold beside its own fields: an error, in one shape or another. Pure."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

import msgspec

from core.ollama.call import BadAnswer, Complaint
from core.ollama.decode import from_json, printable

T = TypeVar("T")

NULL = msgspec.Raw(b"null")
# A list of 8 MiB holds some 20,000 models of a dozen fields. One of more values than this is no list of models, and
# decoding it would hold the interpreter's lock, and with it the event loop, for up to a quarter of a second.
_MOST_COMMAS = 500_000
_ERROR_LENGTH = 200
_NO_ERROR = (b"null", b"false", b"{}", b"[]")


class Answer(msgspec.Struct):
    """What any answer of an Ollama may hold beside its own fields."""

    error: msgspec.Raw = NULL


class _Message(msgspec.Struct):
    message: str


def decoded(body: bytes, shape: type[T]) -> T:
    """The answer. Raises `Complaint` with the server's own error, or `BadAnswer`."""
    if body.count(b",") > _MOST_COMMAS:
        raise BadAnswer("Its answer holds too many values.")
    try:
        answer = from_json(body, shape)
    except msgspec.MsgspecError:
        raise BadAnswer("Its answer is not what an Ollama sends.") from None
    if isinstance(answer, Answer) and (error := _error_in(answer)):
        raise Complaint(error)
    return answer


def _error_in(answer: Answer) -> str:
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


def error_of(body: bytes) -> str:
    """The error that comes in the body of a failed call, empty if there is none to read."""
    try:
        return _error_in(from_json(body, Answer))
    except msgspec.MsgspecError:
        return ""
