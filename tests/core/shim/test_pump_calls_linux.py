"""How much a pump asks of the system and of the interpreter: counts, which no load on the machine changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEGABYTES = 16
COUNTED = """
import json, os, sys, threading
root, folder, source, what = sys.argv[1:]
sys.path.insert(0, root)
from core.logs.redact import Redactor
from core.shim.pump import Pump
from core.shim.writer import LogWriter

def io(name):
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))

# By thread, so that none counts for the other.
steps = {}
def count(frame, event, argument):
    if event in ("call", "c_call"):
        name = threading.current_thread().name
        steps[name] = steps.get(name, 0) + 1

writer = LogWriter(folder)
# A file gives as much as it is asked for, so that the counts depend on nobody else.
pump = Pump(os.open(source, os.O_RDONLY), "OUT", writer, Redactor([b"secret-secret", b"another-one"]))
if what == "steps":
    threading.setprofile(count)
reads, writes = io("syscr"), io("syscw")
pump.start()
assert pump.join(30)
assert writer.close(10)
print(json.dumps({"reads": io("syscr") - reads, "writes": io("syscw") - writes, "steps": steps.get("pump-OUT")}))
"""
UNITS = {
    "ordinary": b'time=2025-01-01T00:00:00.000Z level=INFO source=routes.go:1234 msg="some message here"\n',
    "coloured": b"\x1b[1;31mtime=2025-01-01T00:00:00.000Z\x1b[0m level=INFO source=routes.go:1234 msg=here\r\n",
    "cyrillic": "time=2025-01-01T00:00:00.000Z уровень=INFO сообщение=загружена_модель\n".encode(),
    "long": b"x" * 20_000 + b"\n",
}


def counted(folder: Path, kind: str, what: str) -> dict[str, int]:
    """What a pump and its writer ask for in an interpreter of their own, for each 2**20 bytes of such lines."""
    source = folder / "source"
    source.write_bytes((UNITS[kind] * (MEGABYTES * 2**20 // len(UNITS[kind]) + 1))[: MEGABYTES * 2**20])
    command = [sys.executable, "-I", "-S", "-c", COUNTED, str(ROOT), str(folder / "logs"), str(source), what]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    counts: dict[str, int | None] = json.loads(done.stdout)
    return {name: number // MEGABYTES for name, number in counts.items() if number}


@pytest.mark.timeout(40, method="thread")  # 16 MB, on a shared machine
@pytest.mark.parametrize("kind", UNITS)
def test_a_megabyte_takes_sixteen_reads_and_as_many_writes(tmp_path: Path, kind: str) -> None:
    counts = counted(tmp_path, kind, "calls")
    assert 15 <= counts["reads"] <= 17
    assert 10 <= counts["writes"] <= 18


@pytest.mark.timeout(40, method="thread")  # as above, each call of a function counted
@pytest.mark.parametrize(("kind", "most"), {"ordinary": 36, "coloured": 46, "cyrillic": 62, "long": 30}.items())
def test_the_pump_takes_few_steps_for_a_block_of_lines(tmp_path: Path, kind: str, most: int) -> None:
    """A step is a call of a function, Python's or one of C, on the thread that reads; a block has 16 KiB."""
    assert 0 < counted(tmp_path, kind, "steps")["steps"] / 64 <= most
