"""The way of Ollama's output to the log, beside its peers: `multilog t`, `svlogd -tt` and `cat`, and supervisord.

Run from the top of the checkout: `python -m bench.pump [--rounds 5] [speed memory trickle latency]`. Linux, because of
/proc. The peers are Debian's `daemontools` and `runit`, and `supervisor` from PyPI; one that is not on the PATH is told
of and left out. Prints medians of alternating runs, each ratio and whether the target is reached; ends with 1 if one is
not. On a busy machine compare the processor seconds per gigabyte: what runs beside takes time from all of them.

- speed: 200 MB of each kind through a pipe into files of the same size and number. Each program has been started and
  reads before the first byte comes. Ours does what a shim does: stamps, cleans, redacts, spools.
- memory: the proportional set size (PSS) of our program meanwhile.
- trickle: the processor time that a shim and supervisord take for 100 lines a second.
- latency: from the print of a line until a reader of `/api/ollama/logs/stream` has it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from core.owners.run_record import record_path
from tests import fake_ollama
from tests.beds.cost import busy_seconds, proportional_bytes
from tests.beds.sidecar import Sidecar
from tests.beds.sse import server_events
from tests.beds.wire import call, free_port

ROOT = Path(__file__).parents[1]
MEGABYTES = 200
SEGMENT_BYTES, SEGMENTS = 16_000_000, 8
UNITS = {
    "ordinary": b'time=2025-01-01T00:00:00.000Z level=INFO source=routes.go:1234 msg="some message here"\n' * 700,
    "coloured": b"\x1b[1;31mtime=2025-01-01T00:00:00.000Z\x1b[0m level=INFO source=routes.go:1234 msg=here\r\n" * 700,
    "cyrillic": "time=2025-01-01T00:00:00.000Z level=INFO msg=“модель загружена в память”\n".encode() * 700,
    "cjk": "time=2025-01-01T00:00:00.000Z level=INFO msg=漢字漢字漢字漢字漢字漢字漢字\n".encode() * 700,
    "emoji": "time=2025-01-01T00:00:00.000Z level=INFO msg=\U0001f600\U0001f680 größe \U0001f600\n".encode() * 700,
    "long lines": (b"x" * 20_000 + b"\n") * 4,
    "no newline": b"x" * 65536,
}
# Of `multilog t`, and of `cat`. Kinds that cost more than ordinary lines are to reach half of it.
MULTILOG_TARGET, CAT_TARGET = 5.0, 0.3
SHARE = dict.fromkeys(UNITS, 0.5) | {"ordinary": 1.0}
MEMORY_TARGET = 12 << 20
LATENCY_TARGET = 0.02
TRICKLE_SECONDS = 10.0
LATENCY_LINES = 200
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


def commands(folder: Path) -> dict[str, list[str]]:
    """What reads standard input and writes into that folder, ours first, without programs that are not installed."""
    ours = [sys.executable, "-I", "-S", "-c", OURS, str(ROOT), str(folder), str(SEGMENT_BYTES), str(SEGMENTS)]
    (folder / "config").write_text(f"s{SEGMENT_BYTES}\nn{SEGMENTS}\n")
    found = {
        "ours": ours,
        "multilog": ["multilog", "t", f"s{SEGMENT_BYTES}", f"n{SEGMENTS}", str(folder)],
        "svlogd": ["svlogd", "-tt", str(folder)],
        "cat": ["sh", "-c", 'exec cat > "$0"', str(folder / "log")],
    }
    return {name: command for name, command in found.items() if shutil.which(command[0])}


def carried(unit: Path, name: str, most: Callable[[int], object] | None = None) -> tuple[float, float]:
    """Seconds until 200 MB are written, and processor seconds of the program that writes them.

    `most`, if given, is called with the program's pid again and again meanwhile.
    """
    with TemporaryDirectory() as top:
        reader, pipe = os.pipe()
        with subprocess.Popen(commands(Path(top))[name], stdin=reader, stderr=subprocess.DEVNULL) as program:
            os.close(reader)
            _until_it_reads(program.pid)
            before = busy_seconds(program.pid)
            began = time.perf_counter()
            arguments = [str(unit), str(MEGABYTES * 1_000_000)]
            with subprocess.Popen([sys.executable, "-I", "-S", "-c", CHILD, *arguments], stdout=pipe):
                os.close(pipe)
                while most and not os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    most(program.pid)
                    time.sleep(0.02)
                _, status, usage = os.wait4(program.pid, 0)
                span = time.perf_counter() - began
            program.returncode = os.waitstatus_to_exitcode(status)
        assert program.returncode == 0, name
        return span, usage.ru_utime + usage.ru_stime - before


def _until_it_reads(pid: int) -> None:
    """Return once the program has been idle for 50 ms: it waits for the first byte."""
    deadline = time.monotonic() + 10
    seen = -1.0
    while (used := busy_seconds(pid)) != seen or not used:
        assert time.monotonic() < deadline
        seen = used
        time.sleep(0.05)


def told(is_reached: bool, line: str) -> bool:
    """Print a line and whether its target is reached."""
    print(f"{line}   {'reached' if is_reached else 'NOT REACHED'}", flush=True)
    return is_reached


def speed(rounds: int) -> bool:
    """Megabytes a second of each kind of line, of each program."""
    with TemporaryDirectory() as top:
        names = list(commands(Path(top)))
    missing = {"multilog", "svlogd"} - set(names)
    if missing:
        print(f"not installed: {', '.join(sorted(missing))}")
    is_good = True
    for kind, block in UNITS.items():
        spans: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        with TemporaryDirectory() as top:
            unit = Path(top) / "unit"
            unit.write_bytes(block)
            for _ in range(rounds):
                for name in names:
                    spans[name].append(carried(unit, name))
        rates = {name: MEGABYTES / statistics.median(span for span, _ in each) for name, each in spans.items()}
        used = {name: statistics.median(used for _, used in each) / MEGABYTES * 1000 for name, each in spans.items()}
        figures = "   ".join(f"{name} {rates[name]:5.0f} MB/s {used[name]:5.2f} s/GB" for name in names)
        share = SHARE[kind]
        wanted = {"multilog": MULTILOG_TARGET * share, "cat": CAT_TARGET * share}
        ratios = {name: rates["ours"] / rates[name] for name in wanted if name in rates}
        compared = "  ".join(f"{ratio:.2f} × {name} (≥ {wanted[name]:g})" for name, ratio in ratios.items())
        is_good &= told(
            all(ratio >= wanted[name] for name, ratio in ratios.items()), f"{kind:10} {figures}   {compared}"
        )
    return is_good


def memory(_: int) -> bool:
    """The most memory that our program was seen to take."""
    most = 0

    def look(pid: int) -> None:
        nonlocal most
        # It may end at any moment.
        with contextlib.suppress(OSError):
            most = max(most, proportional_bytes(pid))

    is_good = True
    for kind, block in UNITS.items():
        with TemporaryDirectory() as top:
            unit = Path(top) / "unit"
            unit.write_bytes(block)
            most = 0
            carried(unit, "ours", look)
        is_good &= told(0 < most <= MEMORY_TARGET, f"{kind:10} {most / 2**20:5.1f} MiB (≤ {MEMORY_TARGET >> 20})")
    return is_good


@contextlib.contextmanager
def shim(root: Path) -> Iterator[int]:
    """The pid of the shim of a program that prints 100 lines a second."""
    executable = fake_ollama.install(root / "bin", FAKE_PRINT_EVERY="0.01")
    with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
        assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200
        yield int(json.loads(record_path(root / "AuraData" / "run").read_text())["shimPid"])


@contextlib.contextmanager
def supervisord(root: Path) -> Iterator[int]:
    """The pid of a supervisord that runs the same program."""
    executable = fake_ollama.install(root / "bin", FAKE_PRINT_EVERY="0.01")
    config = root / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={root}/main.log\npidfile={root}/pid\n"
        f"[program:ollama]\ncommand={executable} serve\nenvironment=OLLAMA_HOST=127.0.0.1:{free_port()}\n"
        f"stdout_logfile={root}/out.log\nstderr_logfile={root}/err.log\n"
    )
    command = ["supervisord", "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)


def trickle(rounds: int) -> bool:
    """Processor milliseconds a second."""
    beds = {"shim": shim, "supervisord": supervisord}
    if not shutil.which("supervisord"):
        del beds["supervisord"]
        print("not installed: supervisord")
    used: dict[str, list[float]] = {name: [] for name in beds}
    for _ in range(rounds):
        for name, bed in beds.items():
            with TemporaryDirectory() as top, bed(Path(top)) as pid:
                time.sleep(2)
                before = busy_seconds(pid)
                time.sleep(TRICKLE_SECONDS)
                used[name].append((busy_seconds(pid) - before) / TRICKLE_SECONDS)
    costs = {name: statistics.median(each) for name, each in used.items()}
    figures = "   ".join(f"{name} {cost * 1000:.2f} ms/s" for name, cost in costs.items())
    return told(costs["shim"] < costs.get("supervisord", 1.0), f"100 lines/s: {figures}")


async def line_spans(url: str) -> list[float]:
    """Seconds from the print of a line until a reader of the stream has it."""
    spans: list[float] = []
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        http.get(f"{url}/api/ollama/logs/stream") as response,
    ):
        async for event in server_events(response):
            came = time.monotonic_ns()
            if event.data.startswith("[OUT]") and " clock " in event.data:
                spans.append((came - int(event.data.rpartition(" ")[2])) / 1e9)
            if len(spans) == LATENCY_LINES:
                break
    return spans


def latency(_: int) -> bool:
    """Of lines that come ten times a second, as they do when somebody uses Ollama."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin", FAKE_PRINT_CLOCK="0.083")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start").status == 200
            spans = asyncio.run(line_spans(sidecar.url))
    p50, p99 = statistics.median(spans), statistics.quantiles(spans, n=100, method="inclusive")[98]
    figures = f"line to logs/stream: p50 {p50 * 1000:.1f} ms   p99 {p99 * 1000:.1f} ms"
    return told(p99 < LATENCY_TARGET, f"{figures} (< {LATENCY_TARGET * 1000:.0f})")


ROWS = {"speed": speed, "memory": memory, "trickle": trickle, "latency": latency}


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Output on its way to the log, beside its peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)} (all of them)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program, by turns")
    options = parser.parse_args()
    if unknown := [row for row in options.rows if row not in ROWS]:
        parser.error(f"{unknown[0]!r} is no row; give some of {', '.join(ROWS)}, or none for all of them")
    reached = [ROWS[row](options.rounds) for row in options.rows or ROWS]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
