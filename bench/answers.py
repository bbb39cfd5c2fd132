"""How many calls of `status` a second are answered, beside a bare aiohttp that answers the same JSON: pairs by turns.

Run from the top of the checkout: `python -m bench.answers [--pairs 7] [--seconds 3]`. Needs wrk (Debian: wrk), which
keeps 16 connections busy. Prints the rates, the slowest of a hundred (p99), and the medians of both ratios.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

from tests.beds.ollama import ollama
from tests.beds.sidecar import CHECKOUT, Sidecar
from tests.beds.wire import call, free_port, listens

LEAST_RATE = 0.8
MOST_LATENCY = 1.5
CONNECTIONS = 16
BARE = """
import sys
from aiohttp import web

BODY = sys.argv[2].encode()

async def status(request):
    return web.Response(body=BODY, content_type="application/json")

app = web.Application()
app.router.add_get("/api/ollama/status", status)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Measured(NamedTuple):
    """What came of some seconds of load."""

    rate: float
    """Calls answered a second."""
    late: float
    """Milliseconds within which 99 of 100 were answered."""
    cost: float
    """Microseconds of the processor that the server took for a call, which other programs disturb less."""


def measured(url: str, server: int, seconds: float) -> Measured:
    """Load the server of that pid. Raises AssertionError for any answer but 200."""
    process = psutil.Process(server)
    before = process.cpu_times()
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--latency", f"{url}/api/ollama/status"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = process.cpu_times()
    assert "Non-2xx" not in said, said
    rate, late = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    calls = re.search(r"(\d+) requests in", said)
    if rate is None or late is None or calls is None:
        raise AssertionError(said)
    busy = after.user + after.system - before.user - before.system
    return Measured(float(rate[1]), float(late[1]) * _UNITS[late[2]], busy / int(calls[1]) * 1e6)


def main() -> int:
    """Print the medians. 1 if one of the two targets is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.answers", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with TemporaryDirectory() as top:
        root = Path(top)
        with Sidecar(root, executable=ollama().executable, models=root / "models", ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start", timeout=60).status == 200
            body = call("GET", f"{sidecar.url}/api/ollama/status").body.decode()
            port = free_port()
            bare = subprocess.Popen([sys.executable, "-c", BARE, str(port), body], cwd=CHECKOUT)
            try:
                while not listens(port):
                    assert bare.poll() is None
                pairs = []
                for _ in range(options.pairs):
                    ours = measured(sidecar.url, sidecar.process.pid, options.seconds)
                    pairs.append((ours, measured(f"http://127.0.0.1:{port}", bare.pid, options.seconds)))
            finally:
                bare.terminate()
                bare.wait()
    for name, results in zip(("status", "bare aiohttp"), zip(*pairs, strict=True), strict=True):
        rate, late, cost = map(statistics.median, zip(*results, strict=True))
        print(f"{name}: {rate:.0f}/s, p99 {late:.2f} ms, {cost:.0f} µs of the processor a call")
    rate = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
    late = statistics.median(ours.late / theirs.late for ours, theirs in pairs)
    cost = statistics.median(theirs.cost / ours.cost for ours, theirs in pairs)
    print(f"ratio of rates {rate:.2f} (at least {LEAST_RATE}), of p99 {late:.2f} (at most {MOST_LATENCY}), ", end="")
    print(f"by the processor's time {cost:.2f}")
    return 0 if rate >= LEAST_RATE and late <= MOST_LATENCY else 1


if __name__ == "__main__":
    sys.exit(main())
