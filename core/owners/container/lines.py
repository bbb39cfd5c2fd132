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
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from core.owners.container.engine import Engine
from core.owners.container.facts import Container
from core.owners.copied import Line

FIRST_LINES = 2000
"""How many old lines are taken of a container that was never read before."""
READ_BYTES = 64 * 1024
_PAUSE_SECONDS = 1.0
_HEADER = 8
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
    """The place in what a container has printed up to which lines are told, and which of those that come are beyond it.

    Each line that `take` and its like return is to be noted by `advance`, in this order, before the next is asked for.
    """

    def __init__(self, id: str, cursor: Cursor | None) -> None:
        self.cursor = cursor if cursor and cursor.id == id else Cursor(id)
        self._again: list[Line] | None = None
        # How many lines were taken of each of the last seconds.
        self._seconds: dict[int, int] = {}
        self.look_again()

    @property
    def is_looking(self) -> bool:
        """Whether lines that were taken before are still being passed over."""
        return self._again is not None

    @property
    def is_new(self) -> bool:
        """Whether no line of this container has been taken yet."""
        return not self.cursor.last

    def ends_with(self, line: Line) -> bool:
        """Whether that is the last line that was taken."""
        return digest(line) == self.cursor.last

    def look_again(self) -> None:
        """Begin anew: all lines since the second of the cursor come once more."""
        self._again = None if self.is_new else []
        self._seconds = {}

    def take_all(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that are new; these are all that there are."""
        new = self.take(lines)
        return new + self.give_up() if self.is_looking else new

    def take(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that are new."""
        if self._again is None:
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
        self.advance(again[:known])
        return again[known:]

    def advance(self, lines: Sequence[Line], run: str = "") -> None:
        """Note that these lines are told. `run` is the run of the last one, if that is known."""
        if not lines:
            return
        for line in lines:
            self._seconds[int(line.seconds)] = self._seconds.get(int(line.seconds), 0) + 1
        since = max(self._seconds) - 1
        self._seconds = {second: count for second, count in self._seconds.items() if second >= since}
        taken = sum(self._seconds.values())
        self.cursor = Cursor(self.cursor.id, run or self.cursor.run, since, taken, digest(lines[-1]))


def parameters_for(container: Container, cursor: Cursor, *, follow: bool, tail: int | None = None) -> dict[str, str]:
    """What to ask an engine for: the lines since the second of the cursor, or of the run; only the last with `tail`."""
    return {
        "stdout": "true",
        "stderr": "true",
        "timestamps": "true",
        "follow": "true" if follow else "false",
        "since": str(cursor.since or max(0, int(seconds_of(container.state.started_at.encode()) or 0))),
        "tail": "all" if tail is None else str(tail),
    }


async def read(engine: Engine, container: Container, place: Place, *, follow: bool) -> AsyncGenerator[list[Line], None]:
    """The lines after a place, which its reader advances. With `follow` as they come, until the engine ends its stream.

    Raises EngineFault.
    """
    parameters = parameters_for(container, place.cursor, follow=follow, tail=FIRST_LINES if place.is_new else None)
    frames = Frames(container.config.tty)
    async with engine.lines(container.id, parameters) as content:
        reading: asyncio.Task[bytes] | None = None
        try:
            while True:
                reading = reading or asyncio.create_task(content.read(READ_BYTES))
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
