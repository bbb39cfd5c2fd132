"""Whether an Ollama answers at an address, and which models it has. Only looks; `core.listener` says whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

from core.call import CallFailed, Complaint, HttpStatus, NotAsked, NotConnected, TimedOut
from core.client import Client, Model, ModelList
from core.state import NOT_REACHABLE, TIMED_OUT

PROBE_SECONDS = 2.0
LISTING_SECONDS = 10.0
"""A model folder of thousands on a slow disk takes Ollama seconds to list."""
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


@dataclass(frozen=True, slots=True)
class Listing:
    """Which models there are. `models` are installed, `loaded` are the names of those in memory.

    Either is None if it could not be had, and its error says why: a text that the Aura app knows, or what the server
    itself said. `left_out` counts what the server listed beyond our limits, or without a usable name.
    """

    models: tuple[Model, ...] | None = None
    loaded: tuple[str, ...] | None = None
    models_error: str | None = None
    loaded_error: str | None = None
    left_out: int = 0


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


async def listing(client: Client, timeout: float = LISTING_SECONDS) -> Listing:
    """Ask which models are installed and which are loaded, both at once. Ends within `timeout` seconds, raises nothing.

    What an Ollama was asked it goes on with, even if nobody waits any more: have one listing in flight, not several.
    """
    async with asyncio.TaskGroup() as tasks:
        installed = tasks.create_task(_listed(client.tags, timeout))
        loaded = tasks.create_task(_listed(client.loaded, timeout))
    models, models_error = installed.result()
    in_memory, loaded_error = loaded.result()
    return Listing(
        models.models if models else None,
        tuple(model.name for model in in_memory.models) if in_memory else None,
        models_error,
        loaded_error,
        sum(found.left_out for found in (models, in_memory) if found),
    )


async def _listed(ask: Callable[[float], Awaitable[ModelList]], timeout: float) -> tuple[ModelList | None, str | None]:
    try:
        return await ask(timeout), None
    except CallFailed as error:
        return None, error_text(error)


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
