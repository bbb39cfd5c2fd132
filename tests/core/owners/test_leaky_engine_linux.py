"""An engine that leaves lines out while it is followed: each is in our log once and in its place all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from core.owners.container.engine import Engine
from core.owners.container.follow import follow
from tests.beds.leaky_engine import ID, LeakyEngine

DEADLINE = 20.0
FIRST = [f"first {number}" for number in range(3)]
MANY = [f"line {number}" for number in range(40)]


class Reader:
    """What `follow` has told of the container, and the cursor after that."""

    def __init__(self, cursor: str | None = None) -> None:
        self.texts: list[str] = []
        self.cursor = cursor
        self._news = asyncio.Event()

    async def read(self, engine: LeakyEngine) -> None:
        """Follow until the container ends."""
        at = Engine(engine.url)
        async with aclosing(follow(at, await at.inspect(ID), self.cursor)) as portions:
            async for portion in portions:
                self.texts += [line.text.decode() for line in portion.lines]
                self.cursor = portion.cursor
                self._news.set()

    async def has(self, count: int) -> None:
        """Wait for so many lines."""
        async with asyncio.timeout(DEADLINE):
            while len(self.texts) < count:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def reading(engine: LeakyEngine, reader: Reader) -> AsyncIterator[Reader]:
    """Have it read meanwhile."""
    task = asyncio.create_task(reader.read(engine))
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "gaps", [MANY[:1], MANY[7:8], MANY[-1:], MANY[3:9], MANY[:20], MANY[-30:], MANY, MANY[::2]], ids=len
)
async def test_lines_that_following_leaves_out_are_told_in_their_place(tmp_path: Path, gaps: list[str]) -> None:
    async with LeakyEngine(tmp_path) as engine:
        engine.leave_out(*gaps)
        await engine.print(*FIRST)
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
            await engine.print(*MANY, after=5)
            await reader.has(len(FIRST) + len(MANY))
            await engine.print("more", after=9)
            await reader.has(len(FIRST) + len(MANY) + 1)
    assert reader.texts == [*FIRST, *MANY, "more"]


async def test_half_a_line_is_never_told_for_the_line(tmp_path: Path) -> None:
    async with LeakyEngine(tmp_path) as engine:
        engine.halve("a whole line", "a wh")
        await engine.print(*FIRST)
        engine.print_half("half of")
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
            await engine.print("half of it, and the rest", "a whole line", after=5)
            await reader.has(len(FIRST) + 2)
    assert reader.texts == [*FIRST, "half of it, and the rest", "a whole line"]


@pytest.mark.parametrize("gaps", [[], MANY[:3], MANY[-3:]], ids=len)
async def test_a_container_that_ends_at_once_after_its_lines_has_told_them_all(tmp_path: Path, gaps: list[str]) -> None:
    async with LeakyEngine(tmp_path) as engine:
        engine.leave_out(*gaps)
        await engine.print(*FIRST)
        reader = Reader()
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
            tasks.create_task(reader.read(engine))
            await reader.has(len(FIRST))
            await engine.print(*MANY)
            await engine.end()
    assert reader.texts == [*FIRST, *MANY]


async def test_equal_lines_are_counted(tmp_path: Path) -> None:
    same = ["the same"] * 20
    async with LeakyEngine(tmp_path) as engine:
        engine.leave_out("the same")
        await engine.print(*FIRST)
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
            await engine.print(*same)
            await reader.has(len(FIRST) + len(same))
            await engine.print("other")
            await reader.has(len(FIRST) + len(same) + 1)
    assert reader.texts == [*FIRST, *same, "other"]


async def test_a_reader_that_was_killed_goes_on_after_the_last_portion(tmp_path: Path) -> None:
    texts: list[str] = []
    cursor = None
    async with LeakyEngine(tmp_path) as engine:
        await engine.print(*FIRST)
        for number in range(4):
            engine.leave_out(f"{number}: {MANY[5]}")
            async with reading(engine, Reader(cursor)) as reader:
                await engine.print(*(f"{number}: {text}" for text in MANY), after=number)
                await reader.has(1)
            texts += reader.texts
            cursor = reader.cursor
        expected = [*FIRST, *(f"{number}: {text}" for number in range(4) for text in MANY)]
        async with reading(engine, Reader(cursor)) as reader:
            await reader.has(len(expected) - len(texts))
        texts += reader.texts
    assert texts == expected


async def test_lines_that_are_told_rightly_cost_no_new_connection(tmp_path: Path) -> None:
    async with LeakyEngine(tmp_path) as engine:
        await engine.print(*FIRST, "known")
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
            for number, text in enumerate(MANY[:5]):
                await engine.print(text, after=number)
                await reader.has(len(FIRST) + 2 + number)
            assert engine.followers == 1
    assert reader.texts == [*FIRST, "known", *MANY[:5]]


@pytest.mark.parametrize("name", ["Podman", "Docker"])
@pytest.mark.parametrize("is_new", [True, False], ids=["begins anew", "goes on"])
async def test_lines_after_the_clock_was_set_back_are_told_once(tmp_path: Path, name: str, is_new: bool) -> None:
    """An engine tells nothing that bears an earlier time than it is asked for."""
    hours = 7200
    async with LeakyEngine(tmp_path, name=name, began=int(time.time()) + hours) as engine:
        await engine.print(*FIRST)
        first = Reader()
        if not is_new:
            async with reading(engine, first):
                await first.has(len(FIRST))
        await engine.print(*MANY, after=-hours)
        async with reading(engine, Reader(first.cursor)) as reader:
            await reader.has(len(FIRST) + len(MANY) - len(first.texts))
            await engine.print("more", after=1 - hours)
            await reader.has(len(FIRST) + len(MANY) - len(first.texts) + 1)
        async with reading(engine, Reader(reader.cursor)) as last:
            await engine.print("last", after=2 - hours)
            await last.has(1)
    assert first.texts + reader.texts + last.texts == [*FIRST, *MANY, "more", "last"]


async def test_a_clock_that_is_set_back_while_lines_come_hides_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.owners.container.lines._LOOK_SECONDS", 0.1)
    monkeypatch.setattr("core.owners.container.copy._RETRY_SECONDS", 0.01)
    async with LeakyEngine(tmp_path, name="Docker", began=int(time.time())) as engine:
        await engine.print(*FIRST)
        texts: list[str] = []
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
            monkeypatch.setattr("core.owners.container.lines._now", lambda: time.time() - 3600)
            await engine.print("earlier", after=-3600)
            await reader.has(len(FIRST) + 1)
        texts = reader.texts
    assert texts == [*FIRST, "earlier"]


async def test_a_kill_between_the_lines_of_two_runs_loses_none(tmp_path: Path) -> None:
    async with LeakyEngine(tmp_path, name="Docker") as engine:
        await engine.print(*FIRST)
        async with reading(engine, Reader()) as reader:
            await reader.has(len(FIRST))
        await engine.print("the last one of the first run", after=3)
        engine.begin_anew(after=10)
        await engine.print("new")
        at = Engine(engine.url)
        async with asyncio.timeout(DEADLINE), aclosing(follow(at, await at.inspect(ID), reader.cursor)) as portions:
            portion = await anext(portions)
        assert [line.text for line in portion.lines] == [b"the last one of the first run"]
        async with reading(engine, Reader(portion.cursor)) as last:
            await last.has(1)
    assert last.texts == ["new"]
