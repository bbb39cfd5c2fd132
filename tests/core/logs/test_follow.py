"""Following the logs: the last lines, then new ones as they are written, over real files that are written meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.logs.follow import Follower, LogReader, Portion
from core.logs.places import BEGINNING, PORTION_BYTES, Place
from core.logs.segments import Caps, Segment, SegmentedFile
from core.logs.tail import tail
from tests import tied

DEADLINE = tied.seconds(8.0)
NOON = 1_730_462_400.0  # 2024-11-01 12:00:00 UTC
PLENTY = Caps(segment_bytes=4096, segments_per_start=10_000, starts=1000)


def as_it_is(portion: Portion) -> Portion:
    return portion


def follower(folder: Path) -> Follower[Portion]:
    return Follower(str(folder), as_it_is)


def texts(portion: Portion) -> list[str]:
    return [text for _, text in portion.lines]


async def collected(reader: LogReader[Portion], count: int) -> list[str]:
    """The next `count` lines."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            found += texts(await reader.next())
    return found


@asynccontextmanager
async def thread_gone() -> AsyncIterator[None]:
    """At the end no follower's thread is left."""
    yield
    async with asyncio.timeout(DEADLINE):
        while follower_threads():
            await asyncio.sleep(0.001)


def follower_threads() -> int:
    return sum(thread.name == "log follower" for thread in threading.enumerate())


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / f"ollama-{name}.log"
    path.write_bytes(content)
    return path


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


async def test_the_last_lines_come_first_and_then_new_ones_over_segments_and_starts(tmp_path: Path) -> None:
    put(tmp_path, "20240101-000000", b"a1\na2\n")
    now = put(tmp_path, "20240102-000000", b"b1\nb2\n")
    async with thread_gone():
        with follower(tmp_path).reading(3) as reader:
            first = await reader.next()
            assert (first.lines, str(first.end)) == ((), "20240101-000000.0.3")
            assert await collected(reader, 3) == ["a2", "b1", "b2"]
            append(now, b"b3\n")
            assert await collected(reader, 1) == ["b3"]
            put(tmp_path, "20240102-000000.001", b"c1\n")
            assert await collected(reader, 1) == ["c1"]
            put(tmp_path, "20240103-000000", b"")
            last = put(tmp_path, "20240104-000000", b"d1\n")
            assert await collected(reader, 1) == ["d1"]
            append(last, b"d2\nd3\n")
            assert await collected(reader, 2) == ["d2", "d3"]


@pytest.mark.parametrize("wanted", [0, 1, 2, 3, 7, 8, 9, 5000])
async def test_it_begins_with_the_very_lines_that_the_tail_has(tmp_path: Path, wanted: int) -> None:
    put(tmp_path, "20240101-000000", b"".join(b"%d\n" % number for number in range(4000)))
    put(tmp_path, "20240101-000000.001", b"")
    put(tmp_path, "20240102-000000", b"one\ntwo\n")
    newest = put(tmp_path, "20240102-000000.001", b"x" * (3 * PORTION_BYTES + 5) + b"\n\n\xff\n4\n5\nnot whole")
    expected = await asyncio.to_thread(tail, str(tmp_path), wanted)
    with follower(tmp_path).reading(wanted) as reader:
        assert not (await reader.next()).lines
        append(newest, b", and now it is\n")
        found = await collected(reader, 1)
        while found[-1] != "not whole, and now it is":
            found += await collected(reader, 1)
    # A line that no portion can hold comes in pieces.
    pieces = [text for text in found if set(text) == {"x"}]
    assert "".join(pieces) == next((text for text in expected if set(text) == {"x"}), "")
    assert [text for text in found if set(text) != {"x"}] == [text for text in expected if set(text) != {"x"}] + [
        "not whole, and now it is"
    ]


async def test_a_line_comes_once_it_is_whole(tmp_path: Path) -> None:
    log = put(tmp_path, "20240101-000000", b"begun")
    with follower(tmp_path).reading(10) as reader:
        assert (await reader.next()).end == Place("20240101-000000", 0, 0)
        append(log, b", and go")
        append(log, b"es on\nnext\n")
        assert await collected(reader, 2) == ["begun, and goes on", "next"]


async def test_without_any_log_the_first_one_is_waited_for_from_its_beginning(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with follower(folder).reading(10) as reader:
        assert (await reader.next()).end == BEGINNING
        folder.mkdir()
        put(folder, "20240101-000000", b"first\n")
        assert await collected(reader, 1) == ["first"]
    with follower(folder).reading(BEGINNING) as reader:
        assert await collected(reader, 1) == ["first"]


# Three readers follow five thousand lines on two busy cores.
@pytest.mark.timeout(40)
async def test_whoever_comes_back_to_a_place_misses_no_line_and_gets_none_twice(tmp_path: Path) -> None:
    """While the log is written, over many segments and starts, and each reader comes back at places of its own."""
    lines = [f"{number} {'é' * (number % 50)}" for number in range(5000)]

    def write() -> None:
        for start in range(0, len(lines), 1000):
            file = SegmentedFile(str(tmp_path), PLENTY, NOON + start)
            for line in lines[start : start + 1000]:
                assert file.append(line.encode() + b"\n") == 0
            file.close()

    async def read(seed: int) -> list[str]:
        chance = random.Random(seed)
        found: list[str] = []
        place = str(BEGINNING)
        while len(found) < len(lines):
            with shared.reading(Place.parse(place)) as reader:
                for _ in range(chance.randint(1, 4)):
                    if len(found) < len(lines):
                        portion = await reader.next()
                        # It may leave in the midst of what it was given.
                        taken = portion.lines[: chance.randint(0, len(portion.lines))]
                        found += [text for _, text in taken]
                        if len(taken) < len(portion.lines):
                            place = str(taken[-1][0]) if taken else place
                            break
                        place = str(portion.end)
        return found

    shared = follower(tmp_path)
    async with thread_gone(), asyncio.timeout(30):
        reading = [asyncio.create_task(read(seed)) for seed in range(3)]
        await asyncio.to_thread(write)
        for found in await asyncio.gather(*reading):
            assert found == lines


async def test_a_place_moves_on_with_the_starts_so_that_nothing_seems_lost_of_what_was_read(tmp_path: Path) -> None:
    old = put(tmp_path, "20240101-000000", b"old\n")
    with follower(tmp_path).reading(1) as reader:
        assert await collected(reader, 1) == ["old"]
        new = put(tmp_path, "20240102-000000", b"")
        portion = await reader.next()
        assert (portion.lines, str(portion.end)) == ((), "20240102-000000.0.0")
        old.unlink()
        append(new, b"new\n")
        portion = await reader.next()
        assert (texts(portion), portion.has_gap) == (["new"], False)


async def test_what_was_pruned_meanwhile_is_told_as_a_gap(tmp_path: Path) -> None:
    def write() -> list[str]:
        file = SegmentedFile(str(tmp_path), Caps(segment_bytes=100, segments_per_start=3), NOON)
        for number in range(50):
            file.append(b"%049d\n" % number)
        file.close()
        return tail(str(tmp_path), 1000)

    kept = await asyncio.to_thread(write)
    assert kept[0] != f"{0:049d}"
    with follower(tmp_path).reading(Place("20241101-120000", 0, 50)) as reader:
        portion = await reader.next()
        assert portion.has_gap
        assert texts(portion) + await collected(reader, len(kept) - len(portion.lines)) == kept


async def test_a_log_that_was_emptied_by_hand_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = put(tmp_path, "20240101-000000", b"old 1\nold 2\n")
    with follower(tmp_path).reading(0) as reader:
        await reader.next()
        log.write_bytes(b"new\n")
        portion = await reader.next()
        assert (texts(portion), portion.has_gap) == (["new"], True)


async def test_a_link_in_a_logs_place_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "20240101-000000", b"a\n")
    (tmp_path / "secret").write_bytes(b"secret\n")
    if hasattr(os, "mkfifo"):
        (tmp_path / "ollama-20240102-000000.log").symlink_to(tmp_path / "secret")
        os.mkfifo(tmp_path / "ollama-20240102-000000.001.log")
    put(tmp_path, "20240103-000000", b"b\n")
    with follower(tmp_path).reading(Place("20240101-000000", 0, 0)) as reader:
        assert await collected(reader, 2) == ["a", "b"]


async def test_a_portion_is_read_and_encoded_once_for_all_who_get_the_same_one(tmp_path: Path) -> None:
    encoded: list[Portion] = []

    def encode(portion: Portion) -> Portion:
        encoded.append(portion)
        return portion

    log = put(tmp_path, "20240101-000000", b"")
    shared = Follower(str(tmp_path), encode)
    place = Place("20240101-000000", 0, 0)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        all_ask = asyncio.Barrier(33)

        async def read() -> list[str]:
            with shared.reading(place) as reader:
                coming = asyncio.create_task(reader.next())
                await all_ask.wait()
                return texts(await coming)

        reading = [tasks.create_task(read()) for _ in range(32)]
        await all_ask.wait()
        await asyncio.to_thread(append, log, b"for all\n")
    assert [task.result() for task in reading] == [["for all"]] * 32
    assert len(encoded) == 1


async def test_there_is_one_thread_and_only_while_somebody_reads(tmp_path: Path) -> None:
    put(tmp_path, "20240101-000000", b"a\n")
    shared = follower(tmp_path)
    assert follower_threads() == 0
    for _ in range(3):
        async with thread_gone():
            with shared.reading(1) as one, shared.reading(1) as other:
                assert [await collected(reader, 1) for reader in (one, other)] == [["a"], ["a"]]
                assert follower_threads() == 1


async def test_a_disk_that_hangs_holds_one_thread_and_no_reader_that_leaves(tmp_path: Path) -> None:
    """However many come and go meanwhile; and once it answers again, so does the follower."""
    put(tmp_path, "20240101-000000", b"a\n")
    hangs, goes_on = threading.Event(), threading.Event()

    def encode(portion: Portion) -> Portion:
        hangs.set()
        assert goes_on.wait(DEADLINE)
        return portion

    shared = Follower(str(tmp_path), encode)
    async with thread_gone():
        for _ in range(20):
            with shared.reading(1) as reader, pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await reader.next()
        assert await asyncio.to_thread(hangs.wait, DEADLINE)
        assert follower_threads() == 1
        with shared.reading(1) as reader:
            goes_on.set()
            assert await collected(reader, 1) == ["a"]


async def test_a_reader_that_gave_up_waiting_and_asks_again_has_lost_nothing(tmp_path: Path) -> None:
    log = put(tmp_path, "20240101-000000", b"")
    with follower(tmp_path).reading(0) as reader:
        await reader.next()
        for number in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await reader.next()
            append(log, b"%d\n" % number)
            assert await collected(reader, 1) == [str(number)]


async def test_a_fault_of_the_encoder_reaches_the_reader_and_nobody_else(tmp_path: Path) -> None:
    def encode(portion: Portion) -> Portion:
        if not portion.lines:
            raise ZeroDivisionError
        return portion

    put(tmp_path, "20240101-000000", b"a\n")
    shared = Follower(str(tmp_path), encode)
    with shared.reading(1) as faulty, shared.reading(Place("20240101-000000", 0, 0)) as other:
        with pytest.raises(ZeroDivisionError):
            await faulty.next()
        assert await collected(other, 1) == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "20240101-000000",
        "20240101-000000.0",
        "20240101-000000.0.-1",
        "2024.0.0",
        "../a.0.0",
        "٢٠٢٤٠١٠١-000000.0.0",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no place"):
        Place.parse(text)


def test_a_place_is_what_its_text_says() -> None:
    place = Place("20240101-000000", 12, 345)
    assert Place.parse(str(place)) == place
    assert Segment("", place.stamp, place.number).path == "ollama-20240101-000000.012.log"
