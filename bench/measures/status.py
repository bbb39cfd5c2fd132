"""How many calls of `status` a second are answered, how late, and how few of them reach Ollama.

wrk (Debian: wrk) keeps 16 connections busy; the peer is a bare aiohttp that answers the same JSON.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import peers, profiles
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_least, at_most, below
from tests.beds.ollama import ollama
from tests.beds.screen import program
from tests.beds.server import OllamaServer
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port

CONNECTIONS = 16
SECONDS = 2.0
PROBE = b'"/api/version?by=aura-ollama"'
PATH = "/api/ollama/status"
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def load(url: str, seconds: float = SECONDS, connections: int = CONNECTIONS) -> tuple[float, float]:
    """Answers a second, and the milliseconds within which 99 of 100 came; `seconds` is a whole number.

    Raises RuntimeError for any answer but 200, and BedMissing.
    """
    wrk = program("wrk", "wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", f"{url}{PATH}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, late = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if rate is None or late is None or "Non-2xx" in said:
        raise RuntimeError(said)
    return float(rate[1]), float(late[1]) * _MILLISECONDS[late[2]]


@contextlib.contextmanager
def running() -> Iterator[Sidecar]:
    """A sidecar with a real Ollama of its own."""
    with TemporaryDirectory() as top:
        root = Path(top)
        with Sidecar(root, executable=ollama().executable, models=root / "models", ollama_port=free_port()) as sidecar:
            assert call("POST", f"{sidecar.url}/api/ollama/start", timeout=60).status == 200
            yield sidecar


@contextlib.contextmanager
def answers(options: Options) -> Iterator[Take]:
    """Pairs of loads."""
    with running() as sidecar:
        body = call("GET", f"{sidecar.url}{PATH}").body
        with peers.aiohttp_answering(body) as (url, _):

            def take() -> Round:
                ours, theirs = load(sidecar.url), load(url)
                return {"status": Pair(ours[0], theirs[0]), "status-p99": Pair(ours[1], theirs[1])}

            yield take


@contextlib.contextmanager
def probes(options: Options) -> Iterator[Take]:
    """Of somebody else's Ollama, whose log has every request."""
    with TemporaryDirectory() as top:
        root = Path(top)
        port = free_port()
        with (
            Sidecar(root, executable=ollama().executable, models=root / "models", ollama_port=port) as sidecar,
            OllamaServer(root / "theirs", port=port) as server,
        ):

            def asked() -> int:
                return server.log.read_bytes().count(PROBE)

            def take() -> Round:
                load(sidecar.url, 1.0)
                before = asked()
                load(sidecar.url)
                return {"status-probes": Pair((asked() - before) / SECONDS)}

            yield take


def profile() -> Sequence[str]:
    """Of the sidecar while wrk asks."""
    with running() as sidecar:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d6s", f"{sidecar.url}{PATH}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL):
            return profiles.by_function(sidecar.process.pid, 5)


def no_profile() -> Sequence[str]:
    """For rows that a count tells all about."""
    return []


MEASURES = (
    Measure(
        (
            Row("status", "`status`, 16 connections", "/s", "bare aiohttp, same JSON", at_least(0.8)),
            Row("status-p99", "`status`, 99 of 100 answered within", "ms", "bare aiohttp, same JSON", at_most(1.5)),
        ),
        rounds=5,
        bed=answers,
        profile=profile,
    ),
    Measure(
        (Row("status-probes", "probes of Ollama while 16 connections ask", "/s", "", below(4.0)),),
        rounds=3,
        bed=probes,
        profile=no_profile,
    ),
)
