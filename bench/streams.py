"""What streams cost and how fast they tell: memory for 32 readers, and the time from the end of an Ollama to its event.

Run from the top of the checkout: `python -m bench.streams [--rounds 100]`. Prints the figures, and ends with 1 if one
is beyond its limit. The Ollamas are stand-ins that are killed: what counts is how the sidecar hears and tells of it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil

from tests import fake_ollama
from tests.beds.publishing import publishing
from tests.beds.server import OllamaServer
from tests.beds.sidecar import Sidecar
from tests.beds.sse import server_events
from tests.beds.wire import call, free_port

READERS = 32
LOG_BYTES = 100_000_000
LOG_LIMIT_BYTES, EVENTS_LIMIT_BYTES = 30_000_000, 10_000_000
EVENTS = 20_000
CRASH_LIMIT_SECONDS = 0.05
_LINE = b"[OUT] 2024-01-01 00:00:00 " + b"x" * 100 + b"\n"
_SEGMENT_BYTES = 16 << 20


def write_log(root: Path) -> None:
    """A hundred megabytes of log in segments of the default size."""
    logs = root / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True)
    for number in range(-(-LOG_BYTES // _SEGMENT_BYTES)):
        suffix = f".{number:03}" if number else ""
        (logs / f"ollama-20240101-000000{suffix}.log").write_bytes(_LINE * (_SEGMENT_BYTES // len(_LINE)))


async def grown(url: str, pid: int, path: str, wanted_bytes: int, meanwhile: Callable[[], None]) -> tuple[int, float]:
    """By how many bytes the sidecar grows with 32 readers, of which 16 read so much each; and the seconds it takes."""
    process = psutil.Process(pid)
    for _ in range(20):
        await asyncio.to_thread(call, "GET", f"{url}/api/ollama/status")
    before = most = process.memory_info().rss
    port = int(url.rpartition(":")[2])
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nLast-Event-ID: {{}}\r\n\r\n"
    last = "20240101-000000.0.0" if path.endswith("/stream") else ""
    async with AsyncExitStack() as stack:

        async def connected() -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(request.format(last).encode())
            await reader.readuntil(b"\r\n\r\n")
            return reader

        async def read(reader: asyncio.StreamReader) -> None:
            left = wanted_bytes
            while left > 0 and (part := await reader.read(1 << 18)):
                left -= len(part)

        readers = [await connected() for _ in range(READERS)]
        began = time.perf_counter()
        tasks = [asyncio.create_task(read(reader)) for reader in readers[::2]]
        tasks.append(asyncio.create_task(asyncio.to_thread(meanwhile)))
        while not all(task.done() for task in tasks):
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
        return most - before, time.perf_counter() - began


async def crash_spans(sidecar: Sidecar, rounds: int, begin: Callable[[], psutil.Process]) -> list[float]:
    """Seconds from the kill of an Ollama until a reader has the event that says so, each time."""
    spans = []
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
        http.get(f"{sidecar.url}/api/ollama/events?types=status") as response,
    ):
        events = server_events(response)
        for _ in range(rounds):
            ollama = await asyncio.to_thread(begin)
            async for event in events:
                if event.type == "status" and event.json["running"] and event.json["pid"] == ollama.pid:
                    break
            killed = time.perf_counter()
            ollama.kill()
            async for event in events:
                if event.type == "status" and not event.json["running"]:
                    break
            spans.append(time.perf_counter() - killed)
    return spans


def managed_spans(rounds: int) -> list[float]:
    """Of an Ollama that the sidecar has started."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:

            def begin() -> psutil.Process:
                pid = call("POST", f"{sidecar.url}/api/ollama/start").json["pid"]
                assert isinstance(pid, int)
                return psutil.Process(pid)

            return asyncio.run(crash_spans(sidecar, rounds, begin))


def external_spans(rounds: int) -> list[float]:
    """Of one that somebody else has started."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin")
        port = free_port()
        started: list[OllamaServer] = []
        with Sidecar(root, executable=executable, models=root, ollama_port=port) as sidecar:

            def begin() -> psutil.Process:
                for server in started:
                    server.kill()
                started[:] = [OllamaServer(root / "home", executable=executable, port=port)]
                started[0].wait_ready()
                return psutil.Process(started[0].pid)

            try:
                return asyncio.run(crash_spans(sidecar, rounds, begin))
            finally:
                for server in started:
                    server.kill()


def log_memory() -> tuple[int, float]:
    """32 readers of a hundred megabytes of log: bytes and seconds."""
    with TemporaryDirectory() as top:
        root = Path(top)
        write_log(root)
        executable = fake_ollama.install(root / "bin")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
            path = "/api/ollama/logs/stream"
            return asyncio.run(grown(sidecar.url, sidecar.process.pid, path, LOG_BYTES, lambda: None))


def event_memory() -> tuple[int, float]:
    """32 readers of twenty thousand events: bytes and seconds."""
    with TemporaryDirectory() as top, publishing(Path(top)) as sidecar:
        path = "/api/ollama/events?types=job"
        # The reader may be told of a gap in place of some of them.
        meant = grown(sidecar.url, sidecar.pid, path, 1, lambda: sidecar.publish(EVENTS))
        return asyncio.run(meant)


def main() -> int:
    options = argparse.ArgumentParser(description="What streams cost, and how fast they tell.")
    options.add_argument("--rounds", type=int, default=100, help="kills of an Ollama, of each kind")
    rounds = options.parse_args().rounds
    is_good = True
    for what, measure, limit in (
        (f"{READERS} readers, {LOG_BYTES // 1_000_000} MB of log", log_memory, LOG_LIMIT_BYTES),
        (f"{READERS} readers, {EVENTS} events", event_memory, EVENTS_LIMIT_BYTES),
    ):
        size, seconds = measure()
        is_good &= size < limit
        print(f"{what:34} {size / 1e6:6.1f} MB (limit {limit / 1e6:.0f})   {seconds:6.1f} s")
    for what, spans in (("managed", managed_spans(rounds)), ("external", external_spans(rounds))):
        p50, p99 = statistics.median(spans), statistics.quantiles(spans, n=100, method="inclusive")[98]
        is_good &= p99 < CRASH_LIMIT_SECONDS
        print(
            f"end of a {what:9} Ollama to event:  p50 {p50 * 1000:.1f} ms   p99 {p99 * 1000:.1f} ms"
            f"   most {max(spans) * 1000:.1f} ms   (limit of p99: {CRASH_LIMIT_SECONDS * 1000:.0f} ms)"
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
