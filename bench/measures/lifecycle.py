"""A start until Ollama is ready, and a stop with a model loaded until nothing of it is left: both of the real Ollama.

The peer of the start is a bare `ollama serve`, asked again and again until it answers; that of the stop is SIGTERM to
it. Ours are the calls of the API, which answer once that is so; the port and the tree are looked at all the same.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench import profiles
from bench.rows import Measure, Options, Pair, Round, Row, Take, beyond
from core.owners.run_record import record_path
from tests.beds.ollama import ollama
from tests.beds.server import OllamaServer, copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call, free_port, listens

PAUSE = 0.001
END_SECONDS = 20.0


def load_model(url: str) -> None:
    """Have a model answer, and so be loaded."""
    body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 3}}
    assert call("POST", f"{url}/api/generate", body, timeout=60).status == 200


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def until_gone(processes: Sequence[psutil.Process], port: int) -> None:
    """Return once none of them runs and nobody listens there. Raises TimeoutError after 20 s."""
    deadline = time.monotonic() + END_SECONDS
    while any(_runs(process) for process in processes) or listens(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"something of {processes} lives on")
        time.sleep(PAUSE)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Ours:
    """A sidecar, warm: each call of `start` and `stop` returns its seconds."""

    def __init__(self, root: Path, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self._record = record_path(root / "AuraData" / "run")

    def start(self) -> float:
        """From the call to its answer, at which Ollama must answer."""
        began = time.perf_counter()
        answer = call("POST", f"{self.sidecar.url}/api/ollama/start", timeout=60)
        seconds = time.perf_counter() - began
        assert answer.status == 200, answer.body
        assert call("GET", f"{self.sidecar.ollama_url}/api/version").status == 200
        return seconds

    def roles(self) -> dict[str, str]:
        """What each of its processes is, by pid."""
        record = json.loads(self._record.read_text())
        shim = psutil.Process(record["shimPid"])
        names = {str(child.pid): "guard" for child in shim.children()}
        names |= {str(each.pid): "runner" for each in family(record["pid"])}
        names |= {str(self.sidecar.process.pid): "sidecar", str(shim.pid): "shim", str(record["pid"]): "Ollama"}
        return names

    def stop(self) -> float:
        """From the call until it has answered, no process is left and the port is closed."""
        processes = family(json.loads(self._record.read_text())["pid"])
        began = time.perf_counter()
        answer = call("POST", f"{self.sidecar.url}/api/ollama/stop", timeout=60)
        until_gone(processes, self.sidecar.ollama_port)
        seconds = time.perf_counter() - began
        assert answer.status == 200, answer.body
        return seconds


def theirs(home: Path, models: Path) -> tuple[float, float]:
    """The seconds of a start and a stop of a bare `ollama serve`."""
    began = time.perf_counter()
    server = OllamaServer(home, models=models)
    try:
        while not _answers(server):
            assert server.process.poll() is None
            time.sleep(PAUSE)
        started = time.perf_counter() - began
        load_model(server.url)
        processes = family(server.pid)
        began = time.perf_counter()
        server.process.terminate()
        while server.process.poll() is None:
            time.sleep(PAUSE)
        until_gone(processes, server.port)
        return started, time.perf_counter() - began
    finally:
        server.kill()


def _answers(server: OllamaServer) -> bool:
    # A connect is refused at once as long as nobody listens; a whole call would take longer than what is measured.
    with contextlib.suppress(OSError):
        return listens(server.port) and call("GET", f"{server.url}/api/version", timeout=20).status == 200
    return False


@contextlib.contextmanager
def ours(root: Path) -> Iterator[Ours]:
    """Ours in that folder, which has been started and stopped once."""
    models = copy_models(root / "models")
    with Sidecar(root, executable=ollama().executable, models=models, ollama_port=free_port()) as sidecar:
        one = Ours(root, sidecar)
        one.start(), one.stop()
        yield one


@contextlib.contextmanager
def starts_and_stops(options: Options) -> Iterator[Take]:
    """Pairs of a start and a stop."""
    with TemporaryDirectory() as top, ours(Path(top)) as one:
        models = copy_models(Path(top) / "theirs")
        theirs(Path(top) / "home", models)

        def take() -> Round:
            started = one.start()
            load_model(one.sidecar.ollama_url)
            stopped = one.stop()
            start, stop = theirs(Path(top) / "home", models)
            return {"start": Pair(started * 1000, start * 1000), "stop": Pair(stopped * 1000, stop * 1000)}

        yield take


# Of strace, by what it shows: the first line that fits ends the step.
_START = (
    ("the call, the observation and the shim's interpreter", r'execve\(".*core\.shim'),
    ("the shim's imports, guard and log", r'execve\(".*/ollama", .*"serve"'),
    ("Ollama's own start until its port is open", r"listen\("),
    ("a probe after that", r"connect\(.*htons\(PORT\).*(EINPROGRESS|= 0)"),
)


def profile() -> Sequence[str]:
    """The steps of a start, seen from the kernel, and the system calls that end a stop; strace makes both slower."""
    with TemporaryDirectory() as top, ours(Path(top)) as one:
        calls = "execve,listen,connect,kill,pidfd_send_signal,exit_group"
        with profiles.system_calls(one.sidecar.process.pid, only=calls) as lines:
            began = time.time()
            one.start()
            ready = time.time()
            load_model(one.sidecar.ollama_url)
            roles = one.roles()
            stopping = time.time()
            one.stop()
            stopped = time.time()
        port = str(one.sidecar.ollama_port)
        told = ["Of a start, by strace:"]
        last = began
        rest = iter(lines)
        for what, pattern in _START:
            found = next((line for line in rest if re.search(pattern.replace("PORT", port), line)), None)
            if found is None:
                break
            at = float(found.split()[1])
            told.append(f"{(at - last) * 1000:6.1f} ms {what}")
            last = at
        told.append(f"{(ready - last) * 1000:6.1f} ms until the call is answered")
        told.append(f"Of a stop, {(stopped - stopping) * 1000:.1f} ms by strace, from the call on:")
        for line in lines:
            pid, since, what = line.split(maxsplit=2)
            at = float(since)
            if stopping <= at <= stopped and re.match(r"(kill|pidfd_send_signal|exit_group)\(|\+\+\+ exited", what):
                told.append(f"{(at - stopping) * 1000:6.1f} ms {roles.get(pid, 'a thread')}: {what[:60]}")
        return told


MEASURES = (
    Measure(
        (
            Row("start", "start to ready, warm", "ms", "bare `ollama serve`", beyond(50.0)),
            Row("stop", "stop with a model loaded, until nothing is left", "ms", "SIGTERM to it", beyond(20.0)),
        ),
        rounds=11,
        bed=starts_and_stops,
        profile=profile,
    ),
)
