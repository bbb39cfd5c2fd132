"""Follows what a container prints, each line once, and tells of which run it is. How: `lines`, `checked`, `place`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from core.owners.container import checked
from core.owners.container.engine import Engine
from core.owners.container.facts import Container
from core.owners.container.lines import read, seconds_of
from core.owners.container.place import Cursor, Place
from core.owners.copied import Line


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
    has_gaps = await engine.is_podman()
    if container.runs:
        lines = checked.read(engine, container, place) if has_gaps else read(engine, container, place, follow=True)
        async with aclosing(_of_runs(container, place, lines)) as portions:
            async for portion in portions:
                yield portion
        container = await engine.inspect(container.id)
        if container.runs and has_gaps:
            # The next run has begun.
            return
    # What a run prints last may come only after the engine has ended the stream: it is asked once more.
    async with aclosing(_of_runs(container, place, read(engine, container, place, follow=False))) as portions:
        async for portion in portions:
            yield portion


async def _of_runs(
    container: Container, place: Place, portions: AsyncGenerator[list[Line], None]
) -> AsyncGenerator[Portion, None]:
    """These lines, by the runs that printed them, and the place advanced over them."""
    run = container.state.started_at
    began = int(seconds_of(run.encode()) or 0)
    async with aclosing(portions):
        async for lines in portions:
            # What an earlier run printed last is of that run's log. The clock may be set back while a run goes on.
            old = 0
            if place.cursor.run != run:
                old = next((index for index, line in enumerate(lines) if line.seconds >= began), len(lines))
            for part, name in ((lines[:old], place.cursor.run or run), (lines[old:], run)):
                if part:
                    place.advance(part, name)
                    yield Portion(part, place.cursor.text(), name)
