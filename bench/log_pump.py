"""How fast output passes from a child's pipe to the log, next to `cat > file` with the same child.

Run from the top of the checkout: `python -m bench.log_pump`. Alternates the two, prints medians and their ratio.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from core.logs.segments import Caps
from core.shim.pump import Pump
from core.shim.writer import LogWriter

MEGABYTES = 200
ROUNDS = 5
UNITS = {
    "ordinary lines": b'time=2025-01-01T00:00:00.000Z level=INFO source=routes.go:1234 msg="some message here"\n' * 700,
    "coloured lines": b"\x1b[1;31mtime=2025-01-01T00:00:00.000Z\x1b[0m level=INFO source=routes.go:1234 msg=here\r\n"
    * 700,
    "other alphabets": "größe 漢字漢字漢字漢字漢字漢字漢字 \U0001f600 level=INFO source=routes.go\n".encode() * 700,
    "no newline": b"x" * 65536,
}
CHILD = """
import os, sys
unit = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2]) // len(unit)):
    rest = memoryview(unit)
    while rest:
        rest = rest[os.write(1, rest):]
"""


def spawn(unit: Path, stdout: int) -> subprocess.Popen[bytes]:
    arguments = [str(unit), str(MEGABYTES * 1_000_000)]
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", CHILD, *arguments], stdout=stdout)


def through_pump(unit: Path, folder: Path) -> float:
    began = time.perf_counter()
    reader, pipe = os.pipe()
    writer = LogWriter(str(folder), Caps(segments_per_start=1000))
    pump = Pump(reader, "OUT", writer)
    with spawn(unit, pipe):
        os.close(pipe)
        pump.start()
        assert pump.join(120)
    assert writer.close(60)
    return time.perf_counter() - began


def through_cat(unit: Path, folder: Path) -> float:
    folder.mkdir()
    began = time.perf_counter()
    reader, pipe = os.pipe()
    with (folder / "log").open("wb") as log, spawn(unit, pipe):
        os.close(pipe)
        subprocess.run(["cat"], stdin=reader, stdout=log, check=True)
        os.close(reader)
    return time.perf_counter() - began


def main() -> None:
    with TemporaryDirectory() as top:
        unit, folder = Path(top) / "unit", Path(top) / "logs"
        for label, block in UNITS.items():
            unit.write_bytes(block)
            spans: dict[str, list[float]] = {"pump": [], "cat": []}
            for _ in range(ROUNDS):
                for name, run in (("pump", through_pump), ("cat", through_cat)):
                    spans[name].append(run(unit, folder))
                    shutil.rmtree(folder)
            pump, cat = (MEGABYTES / statistics.median(spans[name]) for name in ("pump", "cat"))
            print(f"{label:16} pump {pump:6.0f} MB/s   cat {cat:6.0f} MB/s   ratio {pump / cat:.2f}")


if __name__ == "__main__":
    main()
