"""What the program costs while nobody looks: with its icon, its Ollama and the shim of that, beside a supervisord.

All processes of ours count, and none of Ollama's. Both are watched at the same time, each with a real Ollama.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench import peers, profiles, tray
from bench.desktop import desktop
from bench.rows import Measure, Options, Pair, Round, Row, Take, below
from core.owners.run_record import record_path
from tests.beds.cost import busy_seconds, wake_ups
from tests.beds.ollama import ollama
from tests.beds.server import ollama_environment
from tests.beds.wire import call, free_port

SETTLE_SECONDS = 12.0
SECONDS, LONG_SECONDS = 15.0, 600.0


@contextlib.contextmanager
def program(root: Path) -> Iterator[list[int]]:
    """The pids of ours, with Ollama up: the program with its icon, the shim and the shim's guard."""
    with desktop() as desk:
        tray.configure(root, free_port())
        with tray.ours(root, desk) as process:
            desk.wait_for_icon()
            assert call("POST", f"{tray.url(root)}/api/ollama/start", timeout=60).status == 200
            yield [process.pid, *shim_pids(root)]


def shim_pids(root: Path) -> list[int]:
    """Of the shim for the settings in `root`, and of its guard."""
    record = json.loads(record_path(root / "AuraData" / "run").read_text())
    shim = psutil.Process(record["shimPid"])
    return [shim.pid, *(each.pid for each in shim.children() if each.pid != record["pid"])]


def cost(pids: Sequence[int]) -> tuple[float, int]:
    """Processor seconds and wake-ups of these processes so far."""
    return sum(map(busy_seconds, pids)), sum(map(wake_ups, pids))


@contextlib.contextmanager
def idle(options: Options) -> Iterator[Take]:
    """Windows in which nothing happens."""
    seconds = LONG_SECONDS if options.is_long else SECONDS
    with TemporaryDirectory() as top:
        root, theirs = Path(top) / "ours", Path(top) / "theirs"
        theirs.mkdir()
        env = ollama_environment(theirs, theirs / "models")
        with (
            program(root) as pids,
            peers.supervisord(theirs, ollama().executable, env, free_port()) as supervisord,
        ):
            time.sleep(SETTLE_SECONDS)

            def take() -> Round:
                sides = (pids, [supervisord])
                before = [cost(side) for side in sides]
                began = time.monotonic()
                time.sleep(seconds)
                span = time.monotonic() - began
                after = [cost(side) for side in sides]
                busy, woken = (
                    [(new[what] - old[what]) / span for new, old in zip(after, before, strict=True)] for what in (0, 1)
                )
                return {"idle-core": Pair(busy[0] * 100, busy[1] * 100), "idle-wakes": Pair(woken[0], woken[1])}

            yield take


def profile() -> Sequence[str]:
    """The wake-ups of each thread of the program, and the system calls it makes; strace makes these slower."""
    seconds = 10.0
    with TemporaryDirectory() as top, program(Path(top)) as pids:
        time.sleep(SETTLE_SECONDS)
        before = {pid: (busy_seconds(pid), wake_ups(pid)) for pid in pids}
        time.sleep(seconds)
        told = []
        for name, pid in zip(("program", "shim", "guard"), pids, strict=False):
            busy, woken = busy_seconds(pid) - before[pid][0], wake_ups(pid) - before[pid][1]
            told.append(f"{name}: {busy / seconds:.3%} of a core, {woken / seconds:.1f} wake-ups/s")
        with profiles.system_calls(pids[0]) as lines:
            time.sleep(seconds)
        return [*told, "System calls of the program:", *profiles.by_call(lines, seconds)]


PEER = "supervisord"
MEASURES = (
    Measure(
        (
            Row("idle-core", "idle, program and shim, nobody looking", "% of a core", PEER, below(0.05)),
            Row("idle-wakes", "idle, wake-ups", "/s", PEER, below(2.0)),
        ),
        rounds=2,
        bed=idle,
        profile=profile,
    ),
)
