"""The sidecar that serves a data folder, seen from another program: by its note, its process and its answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

import msgspec

from core import files
from core.ollama.call import Caller, CallFailed, HttpStatus, NotConnected
from core.platform import birth
from core.settings.paths import Paths
from core.threads.single_flight import within

NAME = "aura-ollama"
_NOTE_SECONDS = 1.5
_ANSWER_SECONDS = 1.2
_MOST_BYTES = 64 << 10


class Presence(Enum):
    """What can be said of the sidecar."""

    ABSENT = "absent"
    """It left no note: none was started, or the last one ended in order."""
    DEAD = "dead"
    """Its note is there, and its process is not: it was killed, or crashed."""
    SILENT = "silent"
    """Its process lives, and does not answer."""
    ANSWERS = "answers"


class SidecarStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What GET /api/ollama/status tells, as far as a check asks for it."""

    running: bool = False
    pid: int | None = None
    managed_by_app: bool = False
    state: str = ""
    reason: str | None = None
    error: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class SidecarView:
    """`why` says what keeps it from being asked. `status` is None where it does not tell."""

    presence: Presence
    url: str = ""
    pid: int = 0
    version: str = ""
    status: SidecarStatus | None = None
    why: str = ""


class _Health(msgspec.Struct):
    name: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Note:
    url: str
    pid: int
    is_alive: bool


async def view_sidecar(paths: Paths, secret: str | None) -> SidecarView:
    """Look, within 4 s, with the token `secret`.

    Raises OSError if the note cannot be read, TimeoutError if its disk does not answer.
    """
    note = await within(_NOTE_SECONDS, "sidecar note", lambda: _read_note(paths))
    if note is None:
        return SidecarView(Presence.ABSENT)
    if not note.is_alive:
        # Nothing is sent to that address: whoever listens there by now is somebody else.
        return SidecarView(Presence.DEAD, note.url, note.pid)
    headers = {"X-Aura-Token": secret} if secret else {}
    async with Caller(note.url, is_local=True, headers=headers, words_of=_words_of) as caller:
        try:
            body = await caller.call("/healthz", _ANSWER_SECONDS, most=_MOST_BYTES)
            health = msgspec.json.decode(body, type=_Health)
        except (CallFailed, msgspec.MsgspecError) as error:
            is_there = isinstance(error, HttpStatus)
            presence = Presence.ANSWERS if is_there else Presence.SILENT
            why = str(error) if not isinstance(error, NotConnected) else "nobody listens there"
            return SidecarView(presence, note.url, note.pid, why=why)
        if health.name != NAME:
            return SidecarView(Presence.SILENT, note.url, note.pid, why="another program answers there")
        try:
            body = await caller.call("/api/ollama/status", _ANSWER_SECONDS, most=_MOST_BYTES)
            status = msgspec.json.decode(body, type=SidecarStatus)
        except (CallFailed, msgspec.MsgspecError) as error:
            return SidecarView(Presence.ANSWERS, note.url, note.pid, health.version, why=str(error))
    return SidecarView(Presence.ANSWERS, note.url, note.pid, health.version, status)


def _read_note(paths: Paths) -> _Note | None:
    try:
        found = json.loads(files.peek(str(paths.run / "sidecar.json"))[0])
        url, pid, born = str(found["url"]), int(found["pid"]), found.get("birth")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The sidecar writes it whole or not at all, so this is none of its notes.
        return None
    alive = birth(pid)
    # The sidecars of older releases did not write their birth.
    return _Note(url, pid, alive is not None and born in (None, alive))


def _words_of(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return ""
    return str(found.get("message", "")) if isinstance(found, dict) else ""
