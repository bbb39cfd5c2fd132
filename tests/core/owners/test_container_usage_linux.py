"""What an engine measures of a container whose processes the sidecar cannot see, in JSON, for Prometheus and people.

The sidecar has a process table of its own here. So it sees of the container what it would see of one in Docker
Desktop's or Podman's machine: the engine's socket, and the published port.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.owners.container.facts import EngineAnswerOdd
from core.owners.container.stats import parse
from tests import tied
from tests.beds.engines import Engine
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call, free_port

pytestmark = pytest.mark.timeout(60)
ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def test_the_engine_s_measurements_stand_in_for_those_of_processes(tmp_path: Path, engine: Engine) -> None:
    port = free_port()
    engine.run("ollama", port)
    with Sidecar(
        tmp_path,
        executable=tmp_path / "none",
        models=tmp_path,
        ollama_port=port,
        settings={"owner": "container:ollama"},
        program=(*ALONE, sys.executable, "-m", "api"),
    ) as sidecar:
        inside = psutil.Process(sidecar.process.pid).children()[0]
        try:
            deadline = time.monotonic() + tied.seconds(20.0)
            # A share of the processor is known from the second reading on.
            while (first := newest(sidecar))["state"] != "running" or first["cpu"] is None:
                assert time.monotonic() < deadline, first
                time.sleep(0.05)
            assert first["memoryBytes"] > 1 << 20
            assert first["cpuSeconds"] > 0
            assert first["threads"] >= 1
            assert first["uptimeSeconds"] >= 0
            # No engine tells these.
            assert (first["processes"], first["openFiles"], first["runners"]) == (None, None, [])
            text = call("GET", f"{sidecar.url}/metrics").body.decode()
            assert 'aura_ollama_process_cpu_seconds_total{instance="default"}' in text
            assert 'aura_ollama_process_resident_memory_bytes{instance="default"}' in text
            assert "aura_ollama_processes" not in text
            assert "aura_ollama_runners" not in text
            told = subprocess.run(
                [
                    *("nsenter", f"--target={inside.pid}", "--pid", "--mount", f"--wd={CHECKOUT}"),
                    *(sys.executable, "-m", "cli", "metrics", "--data-dir", str(tmp_path)),
                ],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            ).stdout
            assert "Memory" in told
            assert "Processor" in told
            assert "Processes" not in told
            call("POST", f"{sidecar.url}/api/ollama/stop", {}, timeout=30.0)
        finally:
            # `unshare` passes no signal on.
            inside.terminate()
            sidecar.process.wait(30)
    assert not engine.inspect("ollama")["State"]["Running"]


def newest(sidecar: Sidecar) -> dict[str, Any]:
    """The newest sample of its one instance."""
    answer: Any = call("GET", f"{sidecar.url}/api/ollama/metrics").json
    found: dict[str, Any] = answer["instances"][0]["now"]
    return found


def test_what_an_engine_does_not_count_is_not_known_and_what_it_caches_is_left_out() -> None:
    assert parse({}).reading(1.0) is None
    rootless = parse({"cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}}, "memory_stats": {}}).reading(1.0)
    assert rootless is not None
    assert (rootless.cpu_seconds, rootless.memory, rootless.threads) == (2.5, None, None)
    for name in ("inactive_file", "total_inactive_file"):
        cached = parse({"memory_stats": {"usage": 1000, "stats": {name: 300}}}).reading(1.0)
        assert cached is not None
        assert cached.memory == 700
    with pytest.raises(EngineAnswerOdd):
        parse(json.loads('{"memory_stats": {"usage": "much"}}'))
