"""Our own looks at Ollama leave no line in its log, and everything else does."""

from __future__ import annotations

import os
from asyncio import to_thread
from pathlib import Path

import pytest

from core.logs import tail
from core.logs.own_calls import MARK, leave_out
from core.logs.segments import PREFIX_BYTES
from core.shim.pump import Pump
from core.shim.spool import Spool
from core.shim.writer import LogWriter
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.wire import call
from tests.rig import Rig

OURS = f'[GIN] 2026/01/02 - 15:04:05 | 200 |      31.25µs |       127.0.0.1 | GET      "/api/version?{MARK}"\n'


def line(code: int = 200, method: str = "GET", path: str = f"/api/tags?{MARK}") -> str:
    return f'[GIN] 2026/01/02 - 15:04:05 | {code} |   1.000231ms |             ::1 | {method:<7}  "{path}"\n'


@pytest.mark.parametrize(
    "ours",
    [
        OURS,
        line(),
        line(204),
        line(method="HEAD", path=f"/?{MARK}"),
        line(path=f"/api/ps?{MARK}").replace("1.000231ms", "1m2.5s"),
    ],
)
def test_a_look_of_ours_that_went_well_is_left_out(ours: str) -> None:
    assert leave_out(f"before\n{ours}{ours}after\n".encode()) == b"before\nafter\n"
    assert leave_out(ours.encode()) == b""


@pytest.mark.parametrize(
    "other",
    [
        line(path="/api/tags"),
        line(500),
        line(404),
        line(302),
        line(method="POST", path=f"/api/generate?{MARK}"),
        line(method="DELETE", path=f"/api/delete?{MARK}"),
        line(path=f"/api/tags?{MARK}-not"),
        line(path=f"/api/tags?x=1&{MARK}"),
        line(path=f'/api/tags?x=\\"?{MARK}'),
        "said: " + OURS,
        OURS[:-1] + " and more\n",
        f'level=INFO msg="GET /api/version?{MARK}"\n',
    ],
)
def test_any_other_line_stays(other: str) -> None:
    assert leave_out(f"{OURS}{other}{OURS}".encode()) == other.encode()


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_it_is_left_out_whatever_the_pieces_that_it_comes_in(tmp_path: Path, size: int) -> None:
    text = (OURS + "one\n" + line(500) + OURS + OURS + "two\n" + OURS).encode() * 3 + OURS[:-1].encode()
    reader, pipe = os.pipe()
    spool = Spool()
    writer = LogWriter(str(tmp_path))
    pump = Pump(reader, "OUT", writer, spool=spool)
    pump.start()
    for start in range(0, len(text), size):
        os.write(pipe, text[start : start + size])
    os.close(pipe)
    assert pump.join(8)
    assert writer.close(8)
    os.close(reader)
    told = [line[PREFIX_BYTES:] for line in tail.tail(str(tmp_path), 99)]
    assert told == ["one", line(500)[:-1], "two"] * 3
    assert writer.last() == told


def test_an_ollama_that_is_only_looked_at_counts_as_read(tmp_path: Path) -> None:
    """Else a shim that is killed after a long idle time would seem to have lost lines."""
    reader, pipe = os.pipe()
    spool = Spool()
    writer = LogWriter(str(tmp_path))
    pump = Pump(reader, "OUT", writer, spool=spool)
    pump.start()
    for _ in range(100):
        os.write(pipe, OURS.encode() * 100)
    os.close(pipe)
    assert pump.join(8)
    assert writer.close(8)
    os.close(reader)
    assert spool.settled.position == spool.taken > 900_000
    assert tail.tail(str(tmp_path), 9) == []


async def test_the_real_ollama_prints_the_mark_and_its_log_is_without_our_looks(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    async with rig.supervising() as supervisor:
        await supervisor.start()
        for path, status in (("/api/version", 200), ("/api/tags", 200), ("/api/ps", 200), ("/", 200), ("/odd", 404)):
            assert (await to_thread(call, "GET", f"{rig.url}{path}?{MARK}")).status == status
        assert (await to_thread(call, "GET", f"{rig.url}/api/version?by=somebody")).status == 200
        await supervisor.stop()
    lines = await to_thread(tail.tail, str(rig.paths.logs), 999)
    told = [line for line in lines if "[GIN] " in line and "?" in line]
    assert len(told) == 2
    assert "| 404 |" in told[0]
    assert told[0].endswith(f'GET      "/odd?{MARK}"')
    assert told[1].endswith('GET      "/api/version?by=somebody"')
