"""What is told of memory, and what telling costs: Linux, because of /proc."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.api.serving import serving
from tests.api.test_metrics import generate, until
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port
from tests.core.metrics.test_gin import line
from tests.core.platform.gpu.test_nvidia_linux import stub_library
from tests.rig import Rig

assert sys.platform == "linux"

WATCHED_SECONDS = 15.0
LINES_A_SECOND = 1000
MOST_OF_A_CORE = 0.01


def _summed(processes: list[psutil.Process], kind: str) -> int:
    """The bytes of that kind, `Rss` or `Pss`, by the kernel's own account of each mapping."""
    total = 0
    for process in processes:
        content = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        found = re.search(rf"^{kind}:\s+(\d+) kB", content, re.MULTILINE)
        assert found
        total += int(found[1]) * 1024
    return total


async def test_the_memory_of_the_tree_agrees_with_the_kernels_account(tmp_path: Path) -> None:
    """Within 5 % of the sum of what is resident, and never below what is left when shared pages are divided."""
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    async with serving(rig) as served:
        await served.supervisor.start()
        await generate(rig)
        found = await until(served, lambda found: found["now"]["runners"])
        family = await asyncio.to_thread(rig.ollamas)
        resident = await asyncio.to_thread(_summed, family, "Rss")
        proportional = await asyncio.to_thread(_summed, family, "Pss")
        assert found["now"]["memoryBytes"] == pytest.approx(resident, rel=0.05)
        assert found["now"]["memoryBytes"] >= 0.95 * proportional
        (runner,) = found["now"]["runners"]
        theirs = await asyncio.to_thread(_summed, [psutil.Process(runner["pid"])], "Rss")
        assert runner["memoryBytes"] == pytest.approx(theirs, rel=0.05)


def test_graphics_processors_are_told_to_whoever_asks(tmp_path: Path) -> None:
    """Through the binding, by a made-up driver: in JSON with nulls, for Prometheus without what is not known."""
    program = fake_ollama.install(tmp_path / "bin")
    env = {"LD_LIBRARY_PATH": str(stub_library(tmp_path))}
    models, port = tmp_path / "models", free_port()
    with Sidecar(tmp_path, executable=program, models=models, ollama_port=port, env=env) as sidecar:
        body = call("GET", f"{sidecar.url}/api/ollama/metrics").json
        text = call("GET", f"{sidecar.url}/metrics").body.decode()
    gpus = body["gpus"]
    assert isinstance(gpus, list)
    assert [(gpu["name"], gpu["memoryUsedBytes"], gpu["busy"]) for gpu in gpus] == [
        ("Stub RTX 9090", 5 << 30, 0.42),
        ("Stub GT 30", 0, None),
    ]
    assert text.count("aura_ollama_gpu_memory_bytes{") == 2
    assert 'aura_ollama_gpu_busy_ratio{gpu="GPU-0f0f0f0f",name="Stub RTX 9090",vendor="nvidia"} 0.42' in text
    assert text.count("aura_ollama_gpu_busy_ratio{") == 1


@pytest.mark.timeout(90)  # half a minute is watched
def test_a_thousand_requests_a_second_cost_less_than_a_hundredth_of_a_core(tmp_path: Path) -> None:
    """More than watching without them does; and they are all counted."""
    program = fake_ollama.install(tmp_path / "bin")
    with Sidecar(tmp_path, executable=program, models=tmp_path / "models", ollama_port=free_port()) as sidecar:
        headers = {"Content-Type": "application/json"}
        assert call("POST", f"{sidecar.url}/api/ollama/start", b"", headers=headers, timeout=30.0).status == 200
        (log,) = (tmp_path / "AuraData" / "logs" / "ollama").glob("ollama-*.log")
        # Whoever has asked within the last minute has it sampled each second.
        before = _total(sidecar)
        quiet = _share_of_a_core(sidecar.process.pid)
        stop = threading.Event()
        written: list[int] = []
        writer = threading.Thread(target=_write, args=[log, stop, written])
        writer.start()
        try:
            loud = _share_of_a_core(sidecar.process.pid)
        finally:
            stop.set()
            writer.join()
        assert written[0] > LINES_A_SECOND * WATCHED_SECONDS * 0.5
        deadline = time.monotonic() + 10
        while (counted := _total(sidecar) - before) != written[0]:
            assert time.monotonic() < deadline, (counted, written)
            time.sleep(0.3)
        rate = written[0] / WATCHED_SECONDS
        print(f"\n{rate:.0f} lines a second: {loud:.4f} of a core; without them: {quiet:.4f}")
        assert (loud - quiet) * LINES_A_SECOND / rate < MOST_OF_A_CORE
        assert quiet < MOST_OF_A_CORE * 2


def _share_of_a_core(pid: int) -> float:
    began, busy = time.monotonic(), psutil.Process(pid).cpu_times()
    time.sleep(WATCHED_SECONDS)
    after = psutil.Process(pid).cpu_times()
    return (after.user + after.system - busy.user - busy.system) / (time.monotonic() - began)


def _write(log: Path, stop: threading.Event, written: list[int]) -> None:
    """Lines as gin prints them, a hundred at a time."""
    count = 0
    with log.open("ab", buffering=0) as file:
        while not stop.wait(100 / LINES_A_SECOND):
            file.write(line().encode() * 100)
            count += 100
    written.append(count)


def _total(sidecar: Sidecar) -> int:
    body = call("GET", f"{sidecar.url}/api/ollama/metrics").json
    instances = body["instances"]
    assert isinstance(instances, list)
    total = instances[0]["requests"]["total"]
    assert isinstance(total, int)
    return total
