"""The way of Ollama's output to the log, beside `multilog t`, `cat`, supervisord and `tail -F`.

- speed: so many megabytes of each kind of line through a pipe into files of the same size and number. Each program has
  been started and reads before the first byte comes. Ours does what a shim does: stamps, cleans, redacts, spools.
- memory: the proportional set size (PSS) of our program meanwhile.
- trickle: the processor time that a shim and supervisord take for 100 lines a second, at the same time.
- latency: from the print of a line until a reader of `/api/ollama/logs/stream` has it, and one of `tail -F`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from bench import peers, profiles
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_least, at_most, below, p99
from core.owners.run_record import record_path
from tests import fake_ollama
from tests.beds.cost import busy_seconds, proportional_bytes
from tests.beds.screen import program
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.sse import server_events
from tests.beds.wire import call, free_port

SEGMENT_BYTES, SEGMENTS = 16_000_000, 8
ORDINARY = "ordinary"
UNITS = {
    ORDINARY: b'time=2025-01-01T00:00:00.000Z level=INFO source=routes.go:1234 msg="some message here"\n' * 700,
    "coloured": b"\x1b[1;31mtime=2025-01-01T00:00:00.000Z\x1b[0m level=INFO source=routes.go:1234 msg=here\r\n" * 700,
    "cyrillic": "time=2025-01-01T00:00:00.000Z level=INFO msg=“модель загружена в память”\n".encode() * 700,
    "cjk": "time=2025-01-01T00:00:00.000Z level=INFO msg=漢字漢字漢字漢字漢字漢字漢字\n".encode() * 700,
    "emoji": "time=2025-01-01T00:00:00.000Z level=INFO msg=\U0001f600\U0001f680 größe \U0001f600\n".encode() * 700,
    "long-lines": (b"x" * 20_000 + b"\n") * 4,
    "no-newline": b"x" * 65536,
}
# Of `multilog t`, and of `cat`. Kinds that cost more than ordinary lines are to reach half of it.
MULTILOG_TARGET, CAT_TARGET = 5.0, 0.3
MEGABYTES, FEWER_MEGABYTES = 200, 60
MEMORY_TARGET = 12.0
LATENCY_TARGET = 20.0
SETTLE_SECONDS, TRICKLE_SECONDS = 2.0, 6.0
LATENCY_LINES = 120
CHILD = """
import os, sys
unit = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2]) // len(unit)):
    rest = memoryview(unit)
    while rest:
        rest = rest[os.write(1, rest):]
"""
OURS = """
import sys
sys.path.insert(0, sys.argv[1])
from core.logs.redact import Redactor, secrets_of
from core.logs.segments import Caps
# What else a shim has in memory.
import core.shim.main
from core.shim.pump import Pump
from core.shim.writer import LogWriter
writer = LogWriter(sys.argv[2], Caps(segment_bytes=int(sys.argv[3]), segments_per_start=int(sys.argv[4])))
secrets = {"OLLAMA_API_KEY": "0123456789abcdef0123456789abcdef", "HTTPS_PROXY": "http://user:password@proxy:3128"}
pump = Pump(0, "OUT", writer, Redactor(secrets_of(secrets)))
pump.start()
sys.exit(not (pump.join(120) and writer.close(60)))
"""


def ours_into(folder: Path) -> list[str]:
    """Our program, which reads standard input and writes into that folder."""
    return [sys.executable, "-I", "-S", "-c", OURS, str(CHECKOUT), str(folder), str(SEGMENT_BYTES), str(SEGMENTS)]


def multilog_into(folder: Path) -> list[str]:
    """Raises BedMissing."""
    return [program("multilog", "daemontools"), "t", f"s{SEGMENT_BYTES}", f"n{SEGMENTS}", str(folder)]


def cat_into(folder: Path) -> list[str]:
    """The least that can be done."""
    return ["sh", "-c", 'exec cat > "$0"', str(folder / "log")]


Command = Callable[[Path], list[str]]


def carried(block: bytes, into: Command, megabytes: int, look: Callable[[int], object] | None = None) -> float:
    """Megabytes a second, until all is written and the program has ended.

    `look`, if given, is called with the program's pid again and again meanwhile.
    """
    with TemporaryDirectory() as top:
        unit, folder = Path(top) / "unit", Path(top) / "log"
        unit.write_bytes(block)
        folder.mkdir()
        reader, pipe = os.pipe()
        with subprocess.Popen(into(folder), stdin=reader, stderr=subprocess.DEVNULL) as process:
            os.close(reader)
            _until_it_reads(process.pid)
            child = [sys.executable, "-I", "-S", "-c", CHILD, str(unit), str(megabytes * 1_000_000)]
            began = time.perf_counter()
            with subprocess.Popen(child, stdout=pipe):
                os.close(pipe)
                while look and process.poll() is None:
                    look(process.pid)
                    time.sleep(0.02)
                assert process.wait() == 0, process.args
                return megabytes / (time.perf_counter() - began)


def _until_it_reads(pid: int) -> None:
    """Return once the program has been idle for 50 ms: it waits for the first byte."""
    deadline = time.monotonic() + 10
    seen = -1.0
    while (used := busy_seconds(pid)) != seen or not used:
        assert time.monotonic() < deadline
        seen = used
        time.sleep(0.05)


def speed_of(kind: str, megabytes: int) -> Callable[[Options], contextlib.AbstractContextManager[Take]]:
    """The bed of the rows about lines of one kind."""

    @contextlib.contextmanager
    def bed(options: Options) -> Iterator[Take]:
        block = UNITS[kind]
        most = 0.0

        def look(pid: int) -> None:
            nonlocal most
            # It may end at any moment.
            with contextlib.suppress(OSError):
                most = max(most, proportional_bytes(pid) / 1e6)

        # Not the run that is timed: a look holds the memory map of the program.
        carried(block, ours_into, megabytes // 3, look)

        def take() -> Round:
            ours = carried(block, ours_into, megabytes)
            return {
                f"pump-{kind}": Pair(ours, carried(block, multilog_into, megabytes)),
                f"pump-{kind}-cat": Pair(ours, carried(block, cat_into, megabytes)),
                f"pump-{kind}-memory": Pair(most),
            }

        yield take

    return bed


def speed_profile_of(kind: str) -> Callable[[], Sequence[str]]:
    """What tells where our program spends its time on lines of that kind."""

    def profile() -> Sequence[str]:
        told: list[str] = []

        def look(pid: int) -> None:
            if not told:
                told.extend(profiles.by_function(pid, 2))

        carried(UNITS[kind], ours_into, 4 * MEGABYTES, look)
        return told

    return profile


@contextlib.contextmanager
def shim(root: Path) -> Iterator[int]:
    """The pid of the shim of a program that prints 100 lines a second."""
    executable = fake_ollama.install(root / "bin", FAKE_PRINT_EVERY="0.01")
    with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
        assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200
        yield int(json.loads(record_path(root / "AuraData" / "run").read_text())["shimPid"])


@contextlib.contextmanager
def trickle(options: Options) -> Iterator[Take]:
    """Processor milliseconds a second, of both at the same time."""
    with TemporaryDirectory() as top:
        root, theirs = Path(top) / "ours", Path(top) / "theirs"
        theirs.mkdir()
        executable = fake_ollama.install(theirs / "bin", FAKE_PRINT_EVERY="0.01")
        with shim(root) as ours, peers.supervisord(theirs, executable, {}, free_port()) as supervisord:
            time.sleep(SETTLE_SECONDS)

            def take() -> Round:
                before = busy_seconds(ours), busy_seconds(supervisord)
                time.sleep(TRICKLE_SECONDS)
                after = busy_seconds(ours), busy_seconds(supervisord)
                spent = [(new - old) / TRICKLE_SECONDS * 1000 for new, old in zip(after, before, strict=True)]
                return {"trickle": Pair(*spent)}

            yield take


def trickle_profile() -> Sequence[str]:
    """The system calls of the shim; strace makes them slower."""
    with TemporaryDirectory() as top, shim(Path(top)) as pid:
        with profiles.system_calls(pid) as lines:
            time.sleep(5)
        return profiles.by_call(lines, 5)


def _since(line: str) -> float | None:
    """Milliseconds since that line was printed, None for one that does not tell."""
    clock = line.rpartition(" clock ")[2]
    return (time.monotonic_ns() - int(clock)) / 1e6 if clock.isdigit() else None


async def of_stream(url: str) -> list[float]:
    """Milliseconds from the print of a line until a reader of the stream has it."""
    spans: list[float] = []
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        http.get(f"{url}/api/ollama/logs/stream?from=0") as response,
    ):
        async for event in server_events(response):
            span = _since(event.data)
            spans += [span] if span is not None else []
            if len(spans) == LATENCY_LINES:
                break
    return spans


async def of_tail(log: str) -> list[float]:
    """The same, for one of `tail -F`."""
    spans: list[float] = []
    pipe = asyncio.subprocess.PIPE
    tail = await asyncio.create_subprocess_exec(
        "tail", "-n0", "-F", log, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert tail.stdout is not None
    async for line in tail.stdout:
        span = _since(line.decode().rstrip())
        spans += [span] if span is not None else []
        if len(spans) == LATENCY_LINES:
            break
    tail.terminate()
    await tail.communicate()
    return spans


@contextlib.contextmanager
def latency(options: Options) -> Iterator[Take]:
    """Of lines that come ten times a second, as they do when somebody uses Ollama. One round."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin", FAKE_PRINT_CLOCK="0.083")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200
            log = json.loads(record_path(root / "AuraData" / "run").read_text())["log"]

            async def both() -> tuple[list[float], list[float]]:
                ours, theirs = await asyncio.gather(of_stream(sidecar.url), of_tail(log))
                return ours, theirs

            def take() -> Round:
                ours, theirs = asyncio.run(both())
                return {"line": Pair(p99(ours), p99(theirs))}

            yield take


def latency_profile() -> Sequence[str]:
    """The system calls of the sidecar while lines come; strace makes them slower."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin", FAKE_PRINT_CLOCK="0.083")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200
            with profiles.system_calls(sidecar.process.pid) as lines:
                asyncio.run(of_stream(sidecar.url))
        return profiles.by_call(lines, LATENCY_LINES * 0.083)


def _speed(kind: str) -> Measure:
    share, megabytes = (1.0, MEGABYTES) if kind == ORDINARY else (0.5, FEWER_MEGABYTES)
    what = f"log pump, {kind.replace('-', ' ')}"
    return Measure(
        (
            Row(f"pump-{kind}", what, "MB/s", "`multilog t`", at_least(MULTILOG_TARGET * share)),
            Row(f"pump-{kind}-cat", what, "MB/s", "`cat`", at_least(CAT_TARGET * share)),
            Row(f"pump-{kind}-memory", f"{what}, memory (PSS)", "MB", "", below(MEMORY_TARGET)),
        ),
        rounds=3,
        bed=speed_of(kind, megabytes),
        profile=speed_profile_of(kind),
    )


MEASURES = (
    *map(_speed, UNITS),
    Measure(
        (Row("trickle", "shim at 100 lines/s, processor", "ms/s", "supervisord", at_most(1.0)),),
        rounds=3,
        bed=trickle,
        profile=trickle_profile,
    ),
    Measure(
        (Row("line", "print of a line to `logs/stream`, 99 of 100", "ms", "`tail -F`", below(LATENCY_TARGET)),),
        rounds=1,
        bed=latency,
        profile=latency_profile,
    ),
)
