"""Whether an Ollama answers at an address. Changes nothing; `core.ollama.listener` tells whose process it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from core.ollama.call import BadAnswer, CallFailed, Complaint, HttpStatus, HungUp, NotAsked, NotConnected, TimedOut
from core.ollama.client import Client
from core.ollama.error_texts import NOT_REACHABLE, TIMED_OUT

PROBE_SECONDS = 2.0
_GREETING_SECONDS = 2.0
_LISTING_SECONDS = 1.0
_SERVER_ERROR = 500


class Answer(Enum):
    """Who answered a probe."""

    OLLAMA = "ollama"
    SOMETHING_ELSE = "something else"
    SILENCE = "silence"
    NOBODY = "nobody"
    NOT_ASKED = "not asked"
    """We lack descriptors or memory for the call, so nothing is known about the endpoint."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe. `error` is None if an Ollama answered, else a text that the Aura app knows.

    `reason` tells more about the error, for a person. Two probes that differ in it alone are equal. A `version` beside
    `SILENCE` is that of a server which has not told yet whether it is an Ollama.
    """

    answer: Answer
    error: str | None = None
    version: str | None = None
    reason: str | None = field(default=None, compare=False)


async def probe(client: Client, *, is_ours: bool = False, seconds: float = PROBE_SECONDS) -> Probe:
    """Ask for the version within `seconds` and, once per connection, for a sign that the server is an Ollama.

    With `is_ours`, where only a process of ours can answer, the version is enough. Never asks for models if it greets
    as an Ollama. One request if the connection of the last probe is still open. Ends within `seconds` and 3 s more, and
    raises nothing.
    """
    try:
        version = await client.version(seconds)
    except CallFailed as error:
        return Probe(_answer_of(error), error_text(error), reason=str(error))
    try:
        if not is_ours:
            await client.identify(_GREETING_SECONDS, _LISTING_SECONDS)
    except CallFailed as error:
        if isinstance(error, TimedOut) or (isinstance(error, HttpStatus) and error.code >= _SERVER_ERROR):
            reason = f"It has not told yet whether it is an Ollama: {error}"
            return Probe(Answer.SILENCE, error_text(error), version, reason)
        return Probe(_answer_of(error), error_text(error), reason=str(error))
    return Probe(Answer.OLLAMA, None, version)


def _answer_of(error: CallFailed) -> Answer:
    match error:
        case TimedOut():
            return Answer.SILENCE
        case NotConnected():
            return Answer.NOBODY
        case NotAsked():
            return Answer.NOT_ASKED
        case _:
            return Answer.SOMETHING_ELSE


def error_text(error: CallFailed) -> str:
    """A failed call in the words that the Aura app knows, or in the server's own."""
    match error:
        case HttpStatus():
            return f"HTTP {error.code}"
        case Complaint():
            return str(error)
        case TimedOut():
            return TIMED_OUT
        case _:
            return NOT_REACHABLE


def list_error_text(error: CallFailed) -> str:
    """Why an Ollama that is up does not list its models: never "Not reachable" if it answered."""
    is_answer = isinstance(error, HttpStatus | BadAnswer) and not isinstance(error, HungUp)
    return str(error) if is_answer else error_text(error)
