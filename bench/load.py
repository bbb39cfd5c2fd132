"""How the sidecar bears a steady load: status 70 %, logs 15 %, models 14 %, start and stop 1 %, on a stand-in Ollama.

Run from the top of the checkout: `python -m bench.load [--rate 1000] [--seconds 60]`. The load is open: calls are due
at fixed times whether or not earlier ones have been answered, so latency counts from when a call was due. Prints the
rate achieved, latencies, every status but 200, and the sidecar's resident memory; ends with 1 if anything went wrong.

Start and stop are wishes about one thing, and a stop interrupts a start, so one caller makes them one after the other:
nine starts, as a client does that makes sure before each use, and a stop.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests import fake_ollama
from tests.beds.sidecar import Sidecar
from tests.beds.wire import free_port

MIX = {"GET /api/ollama/status": 70, "GET /api/ollama/logs": 15, "GET /api/ollama/models": 14, "wish": 1}
CONNECTIONS = 32
WARM_SECONDS = 10.0
FLAT_BYTES = 4 << 20
MEASURE_SECONDS = 0.5
PER_TICK_SECONDS = 0.005
WISHES = (*["POST /api/ollama/start"] * 9, "POST /api/ollama/stop")


@dataclass
class Figures:
    """What came of it. `spans` are seconds until answered, by call; `memory` is (seconds since begin, bytes),
    `busy` the sidecar's processor seconds."""

    spans: dict[str, list[float]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def calls(self) -> int:
        """How many were answered."""
        return sum(map(len, self.spans.values()))

    def grown(self) -> int:
        """Bytes of resident memory at the end beyond those once it was warm."""
        warm = next((size for at, size in self.memory if at >= WARM_SECONDS), self.memory[0][1])
        return self.memory[-1][1] - warm


class Caller:
    """One kept connection that asks one thing at a time. HTTP by hand: a client library costs more than the server."""

    def __init__(self, port: int, figures: Figures) -> None:
        self._port = port
        self._figures = figures
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, what: str, since: float) -> None:
        """Call, and note how it went."""
        try:
            status = await self._exchange(what)
            if status != 200:
                self._figures.faults[f"{what} {status}"] += 1
        except (OSError, EOFError, ValueError) as error:
            self._figures.faults[f"{what} {type(error).__name__}"] += 1
            self.close()
        self._figures.spans.setdefault(what, []).append(time.perf_counter() - since)

    async def _exchange(self, what: str) -> int:
        if self._stream is None:
            self._stream = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._stream
        head = f"{what} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 0\r\n\r\n".encode() if what in WISHES else f"{head}\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
        return int(answer[9:12])

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._stream:
            self._stream[1].close()
        self._stream = None


async def load(sidecar: Sidecar, rate: float, seconds: float) -> Figures:
    """Lay that many calls a second on a sidecar for so long."""
    figures = Figures()
    port = int(sidecar.url.rpartition(":")[2])
    callers = [Caller(port, figures) for _ in range(CONNECTIONS + 1)]
    looks: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    wishes: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    async def work(caller: Caller, queue: asyncio.Queue[tuple[str, float]]) -> None:
        while True:
            await caller.ask(*await queue.get())
            queue.task_done()

    working = [asyncio.create_task(work(each, looks)) for each in callers[1:]]
    working.append(asyncio.create_task(work(callers[0], wishes)))
    measuring = asyncio.create_task(_measure(sidecar, figures))
    began = time.perf_counter()
    wish = 0
    for number, what in enumerate(_mixed(int(rate * seconds))):
        due = began + number / rate
        if due - time.perf_counter() > PER_TICK_SECONDS:
            await asyncio.sleep(due - time.perf_counter())
        # Some are sent a little early, a handful at a time, and count from then.
        since = min(due, time.perf_counter())
        if what == "wish":
            wishes.put_nowait((WISHES[wish % len(WISHES)], since))
            wish += 1
        else:
            looks.put_nowait((what, since))
    await looks.join()
    figures.seconds = time.perf_counter() - began
    await wishes.join()
    for task in (*working, measuring):
        task.cancel()
    await asyncio.gather(*working, measuring, return_exceptions=True)
    for caller in callers:
        caller.close()
    return figures


def _mixed(count: int) -> Iterator[str]:
    random.seed(1)
    yield from random.choices(list(MIX), weights=list(MIX.values()), k=count)


async def _measure(sidecar: Sidecar, figures: Figures) -> None:
    process = psutil.Process(sidecar.process.pid)
    began = time.perf_counter()
    while True:
        figures.memory.append((time.perf_counter() - began, process.memory_info().rss))
        times = process.cpu_times()
        figures.busy = times.user + times.system
        await asyncio.sleep(MEASURE_SECONDS)


def measured(rate: float, seconds: float) -> Figures:
    """The figures of a sidecar of its own."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin", FAKE_MODELS="a,b,c", FAKE_PRINT_MB="0.05")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
            return asyncio.run(load(sidecar, rate, seconds))


def main() -> int:
    options = argparse.ArgumentParser(description="A steady load on the sidecar.")
    options.add_argument("--rate", type=float, default=1000.0, help="calls a second")
    options.add_argument("--seconds", type=float, default=60.0)
    chosen = options.parse_args()
    figures = measured(chosen.rate, chosen.seconds)
    print(f"{figures.calls} calls in {figures.seconds:.1f} s: {figures.calls / figures.seconds:.0f} a second")
    for what, spans in sorted(figures.spans.items()):
        p50, p99 = statistics.median(spans) * 1000, statistics.quantiles(spans, n=100, method="inclusive")[98] * 1000
        print(f"{what:26} {len(spans):7}   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   most {max(spans) * 1000:7.1f} ms")
    warm, last = figures.memory[-1][1] - figures.grown(), figures.memory[-1][1]
    print(f"memory {warm / 2**20:.1f} MiB after {WARM_SECONDS:.0f} s, {last / 2**20:.1f} MiB at the end")
    sizes = [size for at, size in figures.memory if at >= WARM_SECONDS][:: int(WARM_SECONDS / MEASURE_SECONDS)]
    print("  each 10 s after that, MiB:", *(f"{size / 2**20:.1f}" for size in sizes))
    print(f"processor {figures.busy:.1f} s in the sidecar, {figures.busy / figures.seconds:.0%} of one")
    print(f"faults: {dict(figures.faults) or 'none'}")
    return 1 if figures.faults or figures.grown() > FLAT_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
