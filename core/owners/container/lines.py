"""Reads what a container prints, line by line, from a place on that outlives this program (`place`).

All that the engine has is read first, and only then it is followed: the end of the first tells for certain which lines
were told before.

The stream's format is told at https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach:
frames of 8 bytes (stream, three zeros, length) and a payload, or the payloads alone for a container with a terminal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import aiohttp

from core.owners.container.engine import Engine, EngineFault
from core.owners.container.facts import Container
from core.owners.container.place import Cursor, Place
from core.owners.copied import Line

FIRST_LINES = 2000
"""How many old lines are taken of a container that was never read before."""
_READ_BYTES = 64 * 1024
_LOOK_SECONDS = 30.0
_LONGEST_SILENCE_SECONDS = 60.0
"""Podman reads all of its log, which may be large, before it tells the first line."""
_now = time.time
_HEADER = 8
_STREAMS: dict[int, Literal["OUT", "ERR"]] = {1: "OUT", 2: "ERR"}
_LONGEST_PART = 1 << 20


@dataclass(slots=True)
class Frames:
    """Cuts the engine's bytes, in whatever pieces they come, into lines."""

    has_terminal: bool
    _open: bytes = b""
    _parts: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    _last: float = 0.0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that are complete now."""
        self._open += chunk
        lines: list[Line] = []
        while (payload := self._next()) is not None:
            stream, stamped = payload
            stamp, _, text = stamped.partition(b" ")
            begun = self._parts.pop(stream, None)
            stamped_at = seconds_of(stamp)
            if stamped_at is None:
                # What has no stamp can only be the rest of a line that was cut: it belongs to what came before.
                stamped_at, text = self._last, stamped
            self._last = at = begun[0] if begun else stamped_at
            whole = (begun[1] if begun else b"") + text
            if whole.endswith(b"\n") or len(whole) > _LONGEST_PART or self.has_terminal:
                lines.append(Line(stream, at, whole.removesuffix(b"\n").removesuffix(b"\r")))
            else:
                self._parts[stream] = at, whole
        return lines

    def _next(self) -> tuple[Literal["OUT", "ERR"], bytes] | None:
        if self.has_terminal:
            # One without an end is cut, as everywhere in our logs.
            end = self._open.find(b"\n", 0, _LONGEST_PART) + 1 or (len(self._open) >= _LONGEST_PART) * _LONGEST_PART
            line, self._open = self._open[:end], self._open[end:]
            return ("OUT", line) if line else None
        if len(self._open) < _HEADER:
            return None
        length = int.from_bytes(self._open[4:_HEADER], "big")
        if len(self._open) < _HEADER + length:
            return None
        payload, stream = self._open[_HEADER : _HEADER + length], _STREAMS.get(self._open[0], "ERR")
        self._open = self._open[_HEADER + length :]
        return stream, payload


def since_of(container: Container, cursor: Cursor) -> int:
    """The second from which on an engine is to be asked: that of the cursor, or of the run's begin.

    An engine tells nothing that bears an earlier time. So if that second is still to come, since the clock was set
    back, it is asked for all that it has.
    """
    since = cursor.since or max(0, int(seconds_of(container.state.started_at.encode()) or 0))
    return 0 if is_to_come(since) else since


def is_to_come(second: int) -> bool:
    """Whether it is later than now."""
    return second > _now() + 1


async def everything(
    engine: Engine, container: Container, since: int, *, tail: int | None = None, most: int | None = None
) -> list[Line]:
    """What the engine has of that second and later. `tail`: it is asked for so many lines; `most`: so many are kept.

    Raises EngineFault.
    """
    frames = Frames(container.config.tty)
    lines: deque[Line] = deque(maxlen=most)
    try:
        async with (
            asyncio.timeout(_LONGEST_SILENCE_SECONDS) as silence,
            engine.lines(container.id, _parameters(since, follow=False, tail=tail)) as content,
        ):
            while chunk := await content.read(_READ_BYTES):
                silence.reschedule(asyncio.get_running_loop().time() + _LONGEST_SILENCE_SECONDS)
                lines += frames.feed(chunk)
    except TimeoutError:
        raise EngineFault(f"{engine.place} does not answer.", is_away=True) from None
    return list(lines)


class Stream:
    """What an engine tells from some second on, as it comes; `told` is the place after what it has told before."""

    def __init__(self, container: Container, since: int, told: Place) -> None:
        self._container = container
        self._since = since
        self._told = told
        self._frames = Frames(container.config.tty)

    def opened(self, engine: Engine) -> AbstractAsyncContextManager[aiohttp.StreamReader]:
        """The stream of the engine. Raises EngineFault, also inside the block."""
        return engine.lines(self._container.id, _parameters(self._since, follow=True))

    async def read(self, content: aiohttp.StreamReader, seconds: float) -> list[Line] | None:
        """New lines, if any come within so many seconds; None if the stream has ended, or is of no use any more."""
        if is_to_come(self._since):
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while chunk := await content.read(_READ_BYTES):
                    if (new := self._told.take(self._frames.feed(chunk))) or self._told.is_lost:
                        return new or None
                return None
        return []


async def read(engine: Engine, container: Container, place: Place, *, follow: bool) -> AsyncGenerator[list[Line], None]:
    """The lines after a place, which its reader advances. With `follow` as they come, until the engine ends its stream.

    Raises EngineFault.
    """
    since = since_of(container, place.cursor)
    is_cut = place.is_new
    lines = await everything(engine, container, since, tail=FIRST_LINES if is_cut else None)
    place.look_again()
    if new := place.take_all(lines):
        yield new
    if not follow:
        return
    if is_cut:
        since, told = since_of(container, place.cursor), Place(container.id, place.cursor)
    else:
        told = place.after(since, lines)
    stream = Stream(container, since, told)
    async with stream.opened(engine) as content:
        while (coming := await stream.read(content, _LOOK_SECONDS)) is not None:
            if coming:
                yield coming


def _parameters(since: int, *, follow: bool, tail: int | None = None) -> dict[str, str]:
    return {
        "stdout": "true",
        "stderr": "true",
        "timestamps": "true",
        "follow": "true" if follow else "false",
        "since": str(since),
        "tail": "all" if tail is None else str(tail),
    }


def seconds_of(stamp: bytes) -> float | None:
    """Unix time of an RFC 3339 stamp, to the microsecond; None if it is none."""
    try:
        return datetime.fromisoformat(stamp.decode("ascii")).timestamp()
    except (ValueError, OverflowError):
        return None
