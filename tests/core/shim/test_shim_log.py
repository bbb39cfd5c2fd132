"""The log that a real shim writes for a child that prints more, longer and dirtier lines than Ollama ever does."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.logs import tail
from core.logs.lines import MAX_LINE, clean
from core.logs.segments import PREFIX_BYTES
from tests import fake_ollama
from tests.beds.wire import call
from tests.rig import Rig

CAPS = {"logSegmentBytes": 512 << 20, "logTotalBytes": 1 << 30}
MOST_SHIM_BYTES = 12 << 20
LINE = re.compile(rb"\[(OUT|ERR|SYS)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (.*)\n", re.DOTALL)


def _messages(rig: Rig, stream: bytes) -> Iterator[bytes]:
    (path,) = rig.paths.logs.glob("ollama-*.log")
    with path.open("rb") as log:
        for line in log:
            found = LINE.fullmatch(line)
            assert found, line[:100]
            if found[1] == stream:
                yield found[2]


def _proportional_bytes(pid: int) -> int:
    if sys.platform != "linux":
        # Others have no such figure, and Wine counts what is reserved and not used.
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


async def _run(rig: Rig) -> int:
    """Start, wait until everything is printed, stop; the most memory that the shim was seen to take till then."""
    most = 0
    async with rig.supervising() as supervisor:
        await supervisor.start()
        printing = asyncio.create_task(asyncio.to_thread(call, "GET", f"{rig.url}/printed", timeout=60))
        while not printing.done():
            most = max(most, _proportional_bytes(rig.record.shim_pid))
            await asyncio.sleep(0.02)
        assert printing.result().status == 200
        most = max(most, _proportional_bytes(rig.record.shim_pid))
        await supervisor.stop()
    return most


@pytest.mark.timeout(60)  # two million lines are written, read back and compared
async def test_200_mb_at_full_speed_are_all_there_in_order(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_PRINT_MB="200"), **CAPS)
    most = await _run(rig)
    number = -1
    for number, message in enumerate(_messages(rig, b"OUT")):
        assert message + b"\n" == fake_ollama.plain_line(number)
    assert number + 1 == 2_000_000
    # After the last one come two of ours: that a stop was asked for, and how it ended.
    lines = await asyncio.to_thread(tail.tail, str(rig.paths.logs), 5_002)
    told = [line[PREFIX_BYTES:].encode() + b"\n" for line in lines[:5_000]]
    assert told == [fake_ollama.plain_line(number) for number in range(2_000_000 - 5_000, 2_000_000)]
    assert most <= MOST_SHIM_BYTES


@pytest.mark.timeout(60)  # 100 MB through the line cutter on two busy cores
async def test_100_mb_without_a_newline_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_PRINT_LONG_MB="100"), **CAPS)
    most = await _run(rig)
    pieces = list(map(len, _messages(rig, b"OUT")))
    assert sum(pieces) == 100_000_000
    assert max(pieces) <= MAX_LINE
    assert {message.strip(b"x") for message in _messages(rig, b"OUT")} == {b""}
    assert most <= MOST_SHIM_BYTES


@pytest.mark.timeout(30)  # as above
async def test_dirty_lines_are_cleaned_and_all_there_in_order(tmp_path: Path) -> None:
    count = 50_000
    program = fake_ollama.install(tmp_path / "bin", FAKE_PRINT_DIRTY=str(count))
    rig = Rig(tmp_path, program, **CAPS)
    most = await _run(rig)
    found = list(_messages(rig, b"OUT"))
    expected = b"%010d red \\x00nul \\xff\\xfe \\xc3( half \\xe2\\x82\t end"
    assert clean(fake_ollama.dirty_line(7)) == expected % 7 + b"\n"
    assert found == [expected % number for number in range(count)]
    assert most <= MOST_SHIM_BYTES
