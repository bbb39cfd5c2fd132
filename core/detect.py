"""Whether an Ollama answers at an address. Only looks; `core.listener` says whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from core.call import CallFailed, Complaint, HttpStatus, NotAsked, NotConnected, TimedOut
from core.client import Client
from core.state import NOT_REACHABLE, TIMED_OUT

PROBE_SECONDS = 2.0
_IDENTIFY_SECONDS = 1.0


class Answer(Enum):
    """What a probe met at the endpoint."""

    OLLAMA = "ollama"
    SOMETHING_ELSE = "something else"
    SILENCE = "silence"
    NOBODY = "nobody"
    NOT_ASKED = "not asked"
    """We lack the descriptors or the memory to ask, which says nothing about who is there."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether an Ollama answers. `error` is a text that the Aura app knows, None if one does.

    `reason` says more about the error, for a person; it makes no different probe.
    """

    answer: Answer
    error: str | None = None
    version: str | None = None
    reason: str | None = field(default=None, compare=False)


async def probe(client: Client) -> Probe:
    """Ask for the version and, once a connection, for a sign that it is an Ollama. Never asks for models if it is one.

    One request if the connection of the last probe still stands. Ends within 4 s and raises nothing.
    """
    try:
        version = await client.version(PROBE_SECONDS)
        await client.identify(_IDENTIFY_SECONDS)
    except CallFailed as error:
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
    """What a call met, in the words that the Aura app knows, or in the server's own."""
    match error:
        case HttpStatus() | Complaint():
            return str(error)
        case TimedOut():
            return TIMED_OUT
        case _:
            return NOT_REACHABLE
