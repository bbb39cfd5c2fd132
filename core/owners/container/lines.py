r"""What a container prints, line by line, from a place that outlives this program: nothing is lost or told twice.

How it works: an engine gives lines with their time stamps, and can be asked for those since a second. That alone is no
place: a second holds many lines, Podman's stamps have no fractions, and two streams may be stamped out of order. But an
engine keeps lines in one order. So a `Cursor` is a second, how many lines since it have been taken, and the last of
them as a digest. To go on, the lines since that second are read again, and as many as were taken are passed over. If
the last of these is another one than it was, because the engine has dropped old lines meanwhile, the last line that was
taken is looked for instead.

The stream's format is told at https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach:
frames of 8 bytes (stream, three zeros, length) and a payload, or the payloads alone for a container with a terminal.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from core.owners.container.engine import Engine
from core.owners.container.facts import Container
from core.owners.copied import Line

_FIRST_LINES = 2000
"""How many old lines are taken of a container that was never read before."""
_PAUSE_SECONDS = 1.0
_HEADER = 8
_READ_BYTES = 64 * 1024
_STREAMS: dict[int, Literal["OUT", "ERR"]] = {1: "OUT", 2: "ERR"}
_LONGEST_PART = 1 << 20


def digest(line: Line) -> str:
    """A short text that is the same for the same line."""
    whole = f"{line.stream} {line.seconds!r} ".encode() + line.text
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """The place after a line of the container `id`, in the log of its run that began at `run`. See above."""

    id: str
    run: str = ""
    since: int = 0
    taken: int = 0
    last: str = ""

    def text(self) -> str:
        """It as a text of some 150 characters."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str | None) -> Cursor | None:
        """The cursor of a text; None for a text that is none."""
        try:
            return msgspec.json.decode(text, type=cls) if text else None
        except msgspec.MsgspecError:
            return None


@dataclass(slots=True)
class Frames:
    """Cuts the engine's bytes, in whatever pieces they come, into lines."""

    has_terminal: bool
    _open: bytes = b""
    _parts: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that are complete now."""
        self._open += chunk
        lines: list[Line] = []
        while (payload := self._next()) is not None:
            stream, stamped = payload
            stamp, _, text = stamped.partition(b" ")
            begun = self._parts.pop(stream, None)
            at = begun[0] if begun else seconds_of(stamp)
            if at is None:
                # What has no stamp can only be the rest of a frame that the engine cut: it belongs to what came before.
                at, text = 0.0, stamped
            whole = (begun[1] if begun else b"") + text
            if whole.endswith(b"\n") or len(whole) > _LONGEST_PART:
                lines.append(Line(stream, at, whole.removesuffix(b"\n").removesuffix(b"\r")))
            else:
                self._parts[stream] = at, whole
        return lines

    def _next(self) -> tuple[Literal["OUT", "ERR"], bytes] | None:
        if self.has_terminal:
            line, end, rest = self._open.partition(b"\n")
            if not end:
                return None
            self._open = rest
            return "OUT", line + end
        if len(self._open) < _HEADER:
            return None
        length = int.from_bytes(self._open[4:_HEADER], "big")
        if len(self._open) < _HEADER + length:
            return None
        payload, stream = self._open[_HEADER : _HEADER + length], _STREAMS.get(self._open[0], "ERR")
        self._open = self._open[_HEADER + length :]
        return stream, payload


class Place:
    """Follows the place while lines come, and passes over those that were taken before."""

    def __init__(self, id: str, cursor: Cursor | None) -> None:
        self.cursor = cursor if cursor and cursor.id == id else Cursor(id)
        self.is_new = not self.cursor.last
        self._again: list[Line] | None = None if self.is_new else []
        # How many lines were taken of each of the last seconds.
        self._seconds: dict[int, int] = {}

    @property
    def is_looking(self) -> bool:
        """Whether lines that were taken before are still being passed over."""
        return self._again is not None

    def take(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that are new."""
        if self._again is None:
            self._advance(lines)
            return list(lines)
        self._again += lines
        if len(self._again) < self.cursor.taken:
            return []
        if digest(self._again[self.cursor.taken - 1]) != self.cursor.last:
            return self.give_up()
        return self._resume(self.cursor.taken)

    def give_up(self) -> list[Line]:
        """As few lines came as there are, or others: what is new among them."""
        digests = [digest(line) for line in self._again or ()]
        known = len(digests) - digests[::-1].index(self.cursor.last) if self.cursor.last in digests else 0
        return self._resume(known)

    def _resume(self, known: int) -> list[Line]:
        again, self._again = self._again or [], None
        self._advance(again[:known])
        new = again[known:]
        self._advance(new)
        return new

    def _advance(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        for line in lines:
            self._seconds[int(line.seconds)] = self._seconds.get(int(line.seconds), 0) + 1
        since = max(self._seconds) - 1
        self._seconds = {second: count for second, count in self._seconds.items() if second >= since}
        self.cursor = Cursor(self.cursor.id, self.cursor.run, since, sum(self._seconds.values()), digest(lines[-1]))


class Portion(NamedTuple):
    """Lines of one run of the container, which began at `run`, and the cursor after them."""

    lines: list[Line]
    cursor: str
    run: str


async def follow(engine: Engine, container: Container, cursor: str | None) -> AsyncGenerator[Portion, None]:
    """The lines after a cursor, as they come. Ends when the engine ends its stream, as it does after a run's end.

    Without a cursor of that container: the lines of its present run, the last 2000 at most. Raises EngineFault.
    """
    place = Place(container.id, Cursor.parse(cursor))
    for is_last in (False, True) if container.runs else (True,):
        if is_last:
            # The next run may have begun meanwhile.
            container = await engine.inspect(container.id)
        run = container.state.started_at
        began = int(seconds_of(run.encode()) or 0)
        async with aclosing(_read(engine, container, place, follow=not is_last)) as portions:
            async for lines in portions:
                # What an earlier run printed last is of that run's log.
                old = [line for line in lines if int(line.seconds) < began]
                for part, name in ((old, place.cursor.run or run), (lines[len(old) :], run)):
                    if part:
                        place.cursor = msgspec.structs.replace(place.cursor, run=name)
                        yield Portion(part, place.cursor.text(), name)
        # What a run prints last may come only after the engine has ended the stream: it is asked once more.
        place = Place(container.id, place.cursor)


async def _read(
    engine: Engine, container: Container, place: Place, *, follow: bool
) -> AsyncGenerator[list[Line], None]:
    since = place.cursor.since or max(0, int(seconds_of(container.state.started_at.encode()) or 0))
    parameters = {
        "stdout": "true",
        "stderr": "true",
        "timestamps": "true",
        "follow": "true" if follow else "false",
        "since": str(since),
        "tail": str(_FIRST_LINES) if place.is_new else "all",
    }
    frames = Frames(container.config.tty)
    async with engine.lines(container.id, parameters) as content:
        reading: asyncio.Task[bytes] | None = None
        try:
            while True:
                reading = reading or asyncio.create_task(content.read(_READ_BYTES))
                done, _ = await asyncio.wait([reading], timeout=_PAUSE_SECONDS if place.is_looking else None)
                if done:
                    chunk, reading = reading.result(), None
                    lines = place.take(frames.feed(chunk))
                    if not chunk and place.is_looking:
                        lines += place.give_up()
                else:
                    chunk, lines = b"more", place.give_up()
                if lines:
                    yield lines
                if not chunk:
                    return
        finally:
            if reading:
                reading.cancel()


def seconds_of(stamp: bytes) -> float | None:
    """Unix time of an RFC 3339 stamp, to the microsecond; None if it is none."""
    try:
        return datetime.fromisoformat(stamp.decode("ascii")).timestamp()
    except ValueError:
        return None
