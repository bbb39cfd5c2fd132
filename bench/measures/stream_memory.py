"""By how much the sidecar grows with 32 readers of a stream, of whom 16 read and 16 do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench.rows import Measure, Options, Pair, Round, Row, Take, below
from tests import fake_ollama
from tests.beds.publishing import publishing
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port

READERS = 32
LOG_BYTES, SEGMENT_BYTES = 40_000_000, 16_000_000
EVENTS = 20_000
LINE = b"[OUT] 2024-01-01 00:00:00 " + b"x" * 100 + b"\n"
CALLS = 20


def write_log(root: Path) -> None:
    """Forty megabytes of log in segments of the default size."""
    logs = root / "AuraData" / "logs" / "ollama"
    logs.mkdir(parents=True)
    for number in range(-(-LOG_BYTES // SEGMENT_BYTES)):
        suffix = f".{number:03}" if number else ""
        (logs / f"ollama-20240101-000000{suffix}.log").write_bytes(LINE * (SEGMENT_BYTES // len(LINE)))


async def grown(url: str, pid: int, path: str, wanted_bytes: int, meanwhile: Callable[[], None]) -> float:
    """Megabytes by which the sidecar grows while 16 of 32 readers read so much each."""
    process = psutil.Process(pid)
    for _ in range(CALLS):
        await asyncio.to_thread(call, "GET", f"{url}/api/ollama/status")
    before = most = process.memory_info().rss
    port = int(url.rpartition(":")[2])
    last = "20240101-000000.0.0" if path.endswith("/stream") else ""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nLast-Event-ID: {last}\r\n\r\n".encode()
    async with contextlib.AsyncExitStack() as stack:

        async def connected() -> asyncio.StreamReader:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            return reader

        async def read(reader: asyncio.StreamReader) -> None:
            left = wanted_bytes
            while left > 0 and (part := await reader.read(1 << 18)):
                left -= len(part)

        readers = [await connected() for _ in range(READERS)]
        tasks = [asyncio.create_task(read(reader)) for reader in readers[::2]]
        tasks.append(asyncio.create_task(asyncio.to_thread(meanwhile)))
        while not all(task.done() for task in tasks):
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
    return (most - before) / 1e6


@contextlib.contextmanager
def of_logs(options: Options) -> Iterator[Take]:
    """Readers of forty megabytes of log each."""

    def take() -> Round:
        with TemporaryDirectory() as top:
            root = Path(top)
            write_log(root)
            executable = fake_ollama.install(root / "bin")
            with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
                path = "/api/ollama/logs/stream"
                size = asyncio.run(grown(sidecar.url, sidecar.process.pid, path, LOG_BYTES, lambda: None))
                return {"memory-log-readers": Pair(size)}

    yield take


@contextlib.contextmanager
def of_events(options: Options) -> Iterator[Take]:
    """Readers of twenty thousand events. A reader may be told of a gap in place of some of them."""

    def take() -> Round:
        with TemporaryDirectory() as top, publishing(Path(top)) as sidecar:
            path = "/api/ollama/events?types=job"
            publish = grown(sidecar.url, sidecar.pid, path, 1, lambda: sidecar.publish(EVENTS))
            return {"memory-event-readers": Pair(asyncio.run(publish))}

    yield take


def no_profile() -> Sequence[str]:
    """What is in memory is not told by a profile of time."""
    return []


MEASURES = (
    Measure(
        (Row("memory-log-readers", "growth with 32 readers of 40 MB of log", "MB", "", below(30.0)),),
        rounds=1,
        bed=of_logs,
        profile=no_profile,
    ),
    Measure(
        (Row("memory-event-readers", "growth with 32 readers of 20,000 events", "MB", "", below(10.0)),),
        rounds=1,
        bed=of_events,
        profile=no_profile,
    ),
)
