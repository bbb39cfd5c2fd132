"""A real Prometheus scrapes a real sidecar over a real Ollama under load, and tells what the load generator saw."""

from __future__ import annotations

import http.client
import json
import math
import random
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.beds.ollama import ollama
from tests.beds.prometheus import prometheus
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port

RULES = Path(__file__).parents[2] / "docs" / "monitoring" / "alerts.yml"
LOAD_SECONDS = 30.0
_ROUTE = 'instance="default",route="/api/generate",status="2xx"'
_BUCKETS = f"sum by (le) (aura_ollama_request_duration_seconds_bucket{{{_ROUTE}}})"
_COUNT = f"aura_ollama_request_duration_seconds_count{{{_ROUTE}}}"


def _load(url: str, until: float, seed: int, seen: list[float]) -> None:
    """Ask for texts of many lengths, one after the other, and note how long each answer took."""
    chance = random.Random(seed)
    # One connection: to make them takes time that Ollama does not see.
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60.0)
    with closing(connection):
        while time.monotonic() < until:
            # One thread does not wait for others of its own, which takes for ever on a machine with other work.
            options = {"num_predict": chance.randrange(100, 700), "num_thread": 1}
            body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": options}
            content = json.dumps(body).encode()
            began = time.monotonic()
            connection.request("POST", "/api/generate", content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            seen.append(time.monotonic() - began)
            assert response.status == 200


def _quantile(seen: list[float], share: float) -> float:
    """The smallest time within which that share of the calls ended."""
    return sorted(seen)[max(0, math.ceil(share * len(seen)) - 1)]


@pytest.mark.timeout(150)  # half a minute of load, beside the start of three programs
def test_a_real_prometheus_tells_the_quantiles_that_the_load_generator_saw(tmp_path: Path) -> None:
    """Within 10 %, over all requests; and it counts each of them, takes the rules, and sees the memory."""
    executable = require(ollama).executable
    models = copy_models(tmp_path / "models")
    with Sidecar(tmp_path, executable=executable, models=models, ollama_port=free_port()) as sidecar:
        headers = {"Content-Type": "application/json"}
        assert call("POST", f"{sidecar.url}/api/ollama/start", b"", headers=headers, timeout=30.0).status == 200
        url = f"http://127.0.0.1:{sidecar.ollama_port}"
        seen: list[float] = []
        # The first answer waits for the model to be loaded, and would be the slowest by far.
        _load(url, time.monotonic() + 0.1, 0, [])
        warm = _asked(url, sidecar)
        with require(lambda: prometheus(tmp_path / "prometheus", sidecar.url.removeprefix("http://"), RULES)) as server:
            until = time.monotonic() + LOAD_SECONDS
            loads = [threading.Thread(target=_load, args=[url, until, seed, seen]) for seed in (1, 2)]
            for load in loads:
                load.start()
            for load in loads:
                load.join()
            deadline = time.monotonic() + 10
            while (counted := server.query(_COUNT).get("default", 0.0)) != len(seen) + warm:
                assert time.monotonic() < deadline, (counted, len(seen))
                time.sleep(0.2)
            assert len(seen) > 30
            told = {share: server.query(f"histogram_quantile({share}, {_BUCKETS})")[""] for share in (0.5, 0.9, 0.95)}
            expected = {share: _quantile(seen, share) for share in told}
            assert told == pytest.approx(expected, rel=0.1)
            assert server.query("aura_ollama_up") == {"default": 1}
            assert server.query("aura_ollama_process_resident_memory_bytes")["default"] > 10_000_000
            assert server.query("up")
            assert server.query("ALERTS") == {}
            print(f"\n{len(seen)} requests; Prometheus {told}; the load generator {expected}")


def _asked(url: str, sidecar: Sidecar) -> int:
    """How many generations there have been until now, which count as well."""
    deadline = time.monotonic() + 10
    while True:
        text = call("GET", f"{sidecar.url}/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith(_COUNT):
                return int(float(line.rpartition(" ")[2]))
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
