"""How long the last lines of a log take: of 10 KB, of 2 GB in one file, of 2 GB in segments, and by `tail -n`.

Run from the top of the checkout: `python -m bench.log_tail`. Needs 2 GB of disk for a minute. The target is a ratio of
2 GB to 10 KB of at most 2. POSIX, because of `tail` and hard links.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from core.logs.tail import tail

LINES = 200
LINE = b"[OUT] 2024-11-01 12:00:00 [GIN] 200 | 1.2ms | ::1\n"
MIB = 1024 * 1024
SEGMENTS = 128
ROUNDS = 200


def fill(path: Path, size: int) -> None:
    block = LINE * (MIB // len(LINE))
    with path.open("wb", buffering=0) as file:
        for _ in range(size // len(block)):
            file.write(block)
        file.write(LINE * (size % len(block) // len(LINE)))


def median_ms(work: Callable[[], object], rounds: int) -> float:
    spans = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans) * 1000


def measure(folder: Path) -> float:
    assert len(tail(str(folder), LINES)) == LINES
    return median_ms(lambda: tail(str(folder), LINES), ROUNDS)


def main() -> None:
    with TemporaryDirectory() as top:
        small, large, segmented = (Path(top) / name for name in ("small", "large", "segmented"))
        for folder in (small, large, segmented):
            folder.mkdir()
        fill(small / "ollama-20241101-120000.log", 10_240)
        fill(large / "ollama-20241101-120000.log", SEGMENTS * 16 * MIB)
        # One full segment under many names weighs the same for a reader as many segments.
        fill(segmented / "ollama-20241101-120000.log", 16 * MIB)
        for number in range(1, SEGMENTS):
            os.link(segmented / "ollama-20241101-120000.log", segmented / f"ollama-20241101-120000.{number:03}.log")

        base = measure(small)
        print(f"10 KB                {base:8.3f} ms")
        for label, folder in (("2 GB, one file", large), (f"2 GB, {SEGMENTS} segments", segmented)):
            span = measure(folder)
            print(f"{label:20} {span:8.3f} ms   {span / base:5.2f} × 10 KB")
        if program := shutil.which("tail"):
            command = [program, "-n", str(LINES), str(large / "ollama-20241101-120000.log")]
            span = median_ms(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), 30)
            print(f"{'tail -n on 2 GB':20} {span:8.3f} ms   {span / base:5.2f} × 10 KB (a process each)")


if __name__ == "__main__":
    main()
