"""Follows what a container of Podman prints. What comes is told once a second reading of the engine shows it as well.

Podman leaves lines out while it follows. It reads to the end of its file; if a line there is half written, it takes the
half for the line, and goes on at the end that the file has by then (`tailFileSync` in https://github.com/nxadm/tail).
With `tail` it also leaves out what is printed between its two openings of the file (`GetLogFile` in
https://github.com/containers/podman/blob/main/libpod/logs/log.go). Without following it tells all, and only the last
line may be half of one.

How it works: all that comes after the cursor is read without following, and then followed. What is followed is held
until the engine has been quiet for a moment. Then its last lines are read once more, which is cheap however long its
log is. If both are the same, they are told. If not, all after the cursor is read again, without following, and then
followed anew. This costs Podman 26 ms for a megabyte of its log, so it pauses for three times as long as that took.
Podman before 4.7 joins the parts of a long line wrongly if only the last lines are asked for
(https://github.com/containers/podman/issues/19545): then the two differ, and all is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp

from core.owners.container.engine import Engine
from core.owners.container.facts import Container
from core.owners.container.lines import FIRST_LINES, Stream, everything, since_of
from core.owners.container.place import Place
from core.owners.copied import Line

_QUIET_SECONDS = 0.15
_MOST_HELD_SECONDS = 1.0
_APART_SECONDS = 0.1
"""So long after a line has come it is read once more: half of a line is whole by then."""
_BEHIND_SECONDS = 0.5
"""Podman looks for new lines every 250 ms. What it has not told after this, it has left out."""
_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 300.0
"""How long the engine may be silent until it is looked whether it has left out the last line."""
_MOST_COMPARED = 1000
_PAUSES = 3.0


async def read(engine: Engine, container: Container, place: Place) -> AsyncGenerator[list[Line], None]:
    """The lines after a place, which its reader advances, as they come, until this run of the container is over.

    Then some may be left to read. Raises EngineFault.
    """
    clock = asyncio.get_running_loop()
    held: list[Line] = []
    last: Line | None = None
    while True:
        began = clock.time()
        since = since_of(container, place.cursor)
        is_cut = place.is_new
        lines = await everything(engine, container, since, most=FIRST_LINES if is_cut else None)
        took = clock.time() - began
        # Half of the last line may have been written by then. So it is told only if it was seen before as it is.
        was_seen = not lines or lines[-1] in held or lines[-1] == last or place.ends_with(lines[-1])
        last = None if was_seen else lines.pop()
        place.look_again()
        if new := place.take_all(lines):
            yield new
        if is_cut:
            since, told = since_of(container, place.cursor), Place(container.id, place.cursor)
        else:
            told = place.after(since, lines)
        held.clear()
        following = _Following(engine, container, place, held, is_behind=last is not None)
        async with aclosing(following.agreed(Stream(container, since, told))) as portions:
            async for portion in portions:
                yield portion
        now = await engine.inspect(container.id)
        if now.run != container.run or not now.runs:
            return
        await asyncio.sleep(_APART_SECONDS + _PAUSES * took)


class _Following:
    """One stream of the engine. `held` has what it told and a second reading has not shown yet.

    `is_behind`: the engine has lines that it has not told yet, or has left out.
    """

    def __init__(
        self, engine: Engine, container: Container, place: Place, held: list[Line], *, is_behind: bool
    ) -> None:
        self._engine = engine
        self._container = container
        self._place = place
        self._held = held
        self._is_behind = is_behind
        self._rest = _REST_SECONDS

    async def agreed(self, stream: Stream) -> AsyncGenerator[list[Line], None]:
        """What a second reading shows as well. Ends if that shows something else, or with the engine's stream."""
        async with stream.opened(self._engine) as content:
            while await self._has_paused(stream, content):
                count = len(self._held)
                await asyncio.sleep(_APART_SECONDS)
                new = await self._newest(count)
                if new is None or new[:count] != self._held[:count] or (self._is_behind and new and not count):
                    return
                self._is_behind = len(new) > count
                if count:
                    portion, self._held[:count] = self._held[:count], []
                    yield portion

    async def _has_paused(self, stream: Stream, content: aiohttp.StreamReader) -> bool:
        """Hold what comes, until it is time for a second reading; False at the end of the stream."""
        clock = asyncio.get_running_loop()
        due = clock.time() + _MOST_HELD_SECONDS
        while True:
            if self._held:
                pause = min(_QUIET_SECONDS, due - clock.time())
            else:
                pause = _BEHIND_SECONDS if self._is_behind else self._rest
                due = clock.time() + pause + _MOST_HELD_SECONDS
            lines = await stream.read(content, pause)
            if lines is None:
                return False
            if not lines:
                self._rest = min(2 * self._rest, _LONGEST_REST_SECONDS)
                return True
            self._rest = _REST_SECONDS
            self._held += lines

    async def _newest(self, count: int) -> list[Line] | None:
        """What the engine has after the place, `count` lines or more; None if it takes all of its log to know that."""
        cursor = self._place.cursor
        most = cursor.taken + 2 * count + 100
        if most > _MOST_COMPARED:
            return None
        lines = await everything(self._engine, self._container, since_of(self._container, cursor), tail=most)
        return None if len(lines) >= most else Place(self._container.id, cursor).take_all(lines)
