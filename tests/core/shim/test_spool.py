"""A reader that is killed at any moment loses no line and doubles none, if another goes on with its spool."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.logs.own_calls import leave_out
from core.logs.segments import PREFIX_BYTES
from core.logs.tail import segments, tail
from core.shim.pump import Pump
from core.shim.spool import Spool
from core.shim.writer import LogWriter
from tests import tied
from tests.core.dirt import cut

ROOT = Path(__file__).parents[3]
KILLS = 40
KINDS = {
    "plain": 'b"%09d %s" % (number, b"." * 80)',
    "dirty": 'b"%09d \\x1b[1mbold\\x1b[m \\0\\xfe\\r" % number',
    "long": 'b"%09d %s" % (number, b"y" * (60_000 if number % 1000 == 0 else 10))',
    "ours": """(b'[GIN] 1/2 - 3:4 | 200 | 1s | ::1 | GET "/?by=aura-ollama"' if number % 3 else b"%09d" % number)""",
}
PRODUCER = """
import os, random, sys
folder = sys.argv[1]
chance = random.Random(1)
begin = 0
while not os.path.exists(folder + "/enough"):
    end = begin + 500
    data = memoryview(b"".join({line} + b"\\n" for number in range(begin, end)))
    begin = end
    while data:
        data = data[os.write(1, data[:chance.choice((1, 100, 5_000, 200_000))]):]
with open(folder + "/lines", "w") as file:
    file.write(str(end))
"""
CHAIN = """
import os, random, signal, sys, time
root, folder, producer, kills = sys.argv[1:]
sys.path.insert(0, root)
from core.logs.segments import Caps, SegmentedFile
from core.shim.pump import LogWriter, Pump
from core.shim.spool import Spool

def read_on():
    writer = LogWriter(folder, caps, stamp=stamp)
    pump = Pump(reader, "OUT", writer, spool=spool)
    pump.start()
    is_whole = pump.join(60) and writer.close(60)
    os._exit(not is_whole)

chance = random.Random(kills)
caps = Caps(segment_bytes=200_000, segments_per_start=100_000)
log = SegmentedFile(folder, caps, time.time())
stamp = log.stamp
log.close()
reader, pipe = os.pipe()
command = [sys.executable, "-I", "-S", "-c", producer, folder]
os.posix_spawn(sys.executable, command, {}, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 1)])
os.close(pipe)
spool = Spool()
for _ in range(int(kills)):
    child = os.fork() or read_on()
    time.sleep(chance.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
open(folder + "/enough", "w").close()
read_on()
"""


@tied.posix("forks, as a guard is forked")
@pytest.mark.timeout(60)  # tens of megabytes, written, read back and compared
@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_killed_readers_loses_no_line_and_doubles_none(tmp_path: Path, kind: str) -> None:
    producer = PRODUCER.format(line=KINDS[kind])
    chain = [sys.executable, "-I", "-S", "-c", CHAIN, str(ROOT), str(tmp_path), producer, str(KILLS)]
    subprocess.run(chain, check=True, timeout=50)
    make: Callable[[int], bytes] = eval(f"lambda number: {KINDS[kind]}")  # noqa: S307 - our own text, above
    lines = range(int((tmp_path / "lines").read_text()))
    expected = (shown for number in lines for shown in cut(make(number)) if leave_out(shown + b"\n"))
    for found, wanted in zip(logged(tmp_path), expected, strict=True):
        # A long line would be a long report.
        assert found == wanted, (found[:20], len(found), wanted[:20], len(wanted))


@tied.posix("elsewhere there is no guard to go on")
def test_what_is_more_than_a_killed_reader_can_leave_is_told_as_lost(tmp_path: Path) -> None:
    reader, pipe = os.pipe()
    spool = Spool()
    with open(reader, "rb", buffering=0) as source:  # noqa: PTH123 - a descriptor
        for _ in range(20):
            os.write(pipe, b"x" * 30_000)
            left = 30_000
            while left:
                left -= len(spool.read(source))
        os.write(pipe, b"next\n")
        os.close(pipe)
        writer = LogWriter(str(tmp_path))
        pump = Pump(reader, "OUT", writer, spool=spool)
        pump.start()
        assert pump.join(8)
        assert writer.close(8)
    lost, following = tail(str(tmp_path), 9)
    assert lost.startswith("[SYS] ")
    assert "may be lost" in lost
    assert following[PREFIX_BYTES:] == "next"


def logged(folder: Path) -> Iterator[bytes]:
    """What the log holds of standard output, line by line, without the prefixes."""
    for path in segments(str(folder)):
        with open(path, "rb") as file:  # noqa: PTH123 - the product hands out str
            for line in file:
                assert line.startswith(b"[OUT] ")
                assert line.endswith(b"\n")
                yield line[PREFIX_BYTES:-1]
