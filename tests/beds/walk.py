"""The main job, walked once from outside: a real sidecar starts, shows and stops a real Ollama, over REST alone."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.beds.ollama import ollama
from tests.beds.server import MODEL, copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import Answer, JsonObject, call, free_port, listens

CALL_DEADLINE = 60.0
LOOK_AGAIN = 0.2
NUMBERS = re.compile(r"\[\s+-?\d+(?:,\s+-?\d+)*\s+\]")
LOG_LINE = re.compile(r"\[(OUT|ERR|SYS)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*")


class WalkFailed(Exception):
    """A step of the main job went wrong; the message says which, and what was seen."""


def walk(*, wrapped: bool = False) -> None:
    """Print and check each step. Raises `WalkFailed`, or `BedMissing`. Nothing is left behind."""
    with _sidecar(wrapped=wrapped) as sidecar:
        _look_before(sidecar)
        pid = _start(sidecar)
        _use(sidecar)
        _read_logs(sidecar)
        _stop(sidecar, pid)
        _end(sidecar)


def serve(*, wrapped: bool = False) -> None:
    """Start everything, print what to open, and stay until Ctrl-C or SIGTERM; then stop Ollama and clean up."""
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # A note, not an exception: one raised inside subprocess can leave a lock held, and a later wait hangs.
        signal.signal(number, lambda number, _: asked.append(number))
    with _sidecar(wrapped=wrapped) as sidecar:
        _start(sidecar)
        _print_what_to_open(sidecar)
        while not asked:
            if (code := sidecar.process.poll()) is not None:
                raise WalkFailed(f"the sidecar ended by itself with {code}")
            time.sleep(LOOK_AGAIN)
        print("\n")
        _stop_what_runs(sidecar)


@contextlib.contextmanager
def _sidecar(*, wrapped: bool) -> Iterator[Sidecar]:
    bed = ollama()
    with tempfile.TemporaryDirectory(prefix="aura-") as folder:
        root = Path(folder)
        models = copy_models(root / "models")
        executable = bed.wrapped if wrapped else bed.executable
        with Sidecar(root, executable=executable, models=models, ollama_port=free_port()) as sidecar:
            print(f"A sidecar at {sidecar.url}, for {executable}\n")
            yield sidecar


def _look_before(sidecar: Sidecar) -> None:
    status = _show("Status before the start", "GET", f"{sidecar.url}/api/ollama/status")
    _expect(status, running=False, pid=None, managedByApp=False)


def _start(sidecar: Sidecar) -> int:
    """The pid that the answer names."""
    started = _show("Start", "POST", f"{sidecar.url}/api/ollama/start")
    _expect(started, success=True)
    pid = started.get("pid")
    if not isinstance(pid, int) or not psutil.pid_exists(pid):
        raise WalkFailed(f"start names no living process: pid is {pid!r}")
    status = _show("Status after the start", "GET", f"{sidecar.url}/api/ollama/status")
    _expect(status, running=True, pid=pid, managedByApp=True, error=None)
    return pid


def _use(sidecar: Sidecar) -> None:
    models = _show("Installed models", "GET", f"{sidecar.url}/api/ollama/models")
    _expect(models, count=1)
    if not _names(models) == [f"{MODEL}:latest"]:
        raise WalkFailed(f"the one model is {MODEL}:latest, and the answer lists {models['models']!r}")
    question: JsonObject = {"model": MODEL, "prompt": "Say something", "stream": False, "options": {"num_predict": 16}}
    text = _show("A generation, from Ollama itself", "POST", f"{sidecar.ollama_url}/api/generate", question)
    _expect(text, done=True)
    if not text.get("eval_count"):
        raise WalkFailed("the generation has no tokens")
    status = _show("Status with a model loaded", "GET", f"{sidecar.url}/api/ollama/status")
    _expect(status, running=True, model=f"{MODEL}:latest")


def _read_logs(sidecar: Sidecar) -> None:
    answer = _show("Logs", "GET", f"{sidecar.url}/api/ollama/logs?maxLines=20")
    lines = answer.get("logs")
    if not isinstance(lines, list) or not 1 <= len(lines) <= 20:
        raise WalkFailed("the logs are not 1 to 20 lines")
    _expect(answer, totalLines=len(lines))
    for line in lines:
        if not LOG_LINE.fullmatch(str(line)):
            raise WalkFailed(f"not a log line: {line!r}")


def _stop(sidecar: Sidecar, pid: int) -> None:
    stopped = _show("Stop", "POST", f"{sidecar.url}/api/ollama/stop")
    _expect(stopped, success=True)
    if psutil.pid_exists(pid):
        raise WalkFailed(f"stop answered, and process {pid} still lives")
    if listens(sidecar.ollama_port):
        raise WalkFailed(f"stop answered, and somebody still listens at {sidecar.ollama_url}")
    status = _show("Status after the stop", "GET", f"{sidecar.url}/api/ollama/status")
    _expect(status, running=False, pid=None, managedByApp=False)


def _stop_what_runs(sidecar: Sidecar) -> None:
    """Whatever was tried in the meantime."""
    status = _show("Status", "GET", f"{sidecar.url}/api/ollama/status")
    if isinstance(pid := status.get("pid"), int):
        _stop(sidecar, pid)


def _end(sidecar: Sidecar) -> None:
    began = time.monotonic()
    code = sidecar.stop()
    if code != 0:
        raise WalkFailed(f"the terminated sidecar ended with {code}, not 0")
    print(f"The sidecar ended with 0, {time.monotonic() - began:.1f} s after SIGTERM.")
    print("All of the main job worked.")


def _print_what_to_open(sidecar: Sidecar) -> None:
    api = f"{sidecar.url}/api/ollama"
    question = json.dumps({"model": MODEL, "prompt": "Say something", "stream": False})
    print("Open these in a browser:")
    for path in ("status", "models", "logs?maxLines=20"):
        print(f"  {api}/{path}")
    print(f"  {sidecar.ollama_url}\nOr try:")
    for method, url, body in (
        ("POST", f"{sidecar.ollama_url}/api/generate", question),
        ("POST", f"{api}/stop", None),
        ("POST", f"{api}/start", None),
    ):
        print(f"  {_as_curl(method, url, body)}")
    print(f"Ctrl-C stops everything and removes its data, {sidecar.root}.", flush=True)


def _show(heading: str, method: str, url: str, body: JsonObject | None = None) -> JsonObject:
    """Call, print the call and its answer, and return the answer; `WalkFailed` unless it is a JSON object and 200."""
    print(f"── {heading}\n$ {_as_curl(method, url, json.dumps(body) if body else None)}", flush=True)
    try:
        answer = call(method, url, body, timeout=CALL_DEADLINE)
        content = answer.json
    except (OSError, ValueError) as failure:
        raise WalkFailed(f"{heading}: {failure}") from failure
    print(_pretty(content), end="\n\n", flush=True)
    _check_status(heading, answer)
    return content


def _pretty(content: JsonObject) -> str:
    """Indented JSON, but with each list of numbers on one line."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return NUMBERS.sub(lambda found: " ".join(found[0].split()), text)


def _check_status(heading: str, answer: Answer) -> None:
    if answer.status != 200:
        raise WalkFailed(f"{heading}: the answer is {answer.status}, not 200")


def _as_curl(method: str, url: str, body: str | None) -> str:
    words = ["curl", "-s"]
    if method != "GET":
        words += ["-X", method, "-H", "Content-Type: application/json"]
    if body is not None:
        words += ["-d", body]
    return shlex.join([*words, url])


def _expect(answer: JsonObject, **fields: object) -> None:
    for name, value in fields.items():
        if name not in answer:
            raise WalkFailed(f"the answer has no `{name}`")
        # True == 1 in Python, and not in JSON.
        if type(answer[name]) is not type(value) or answer[name] != value:
            raise WalkFailed(f"`{name}` is {json.dumps(answer[name])}, not {json.dumps(value)}")


def _names(models: JsonObject) -> list[object]:
    listed = models.get("models")
    if not isinstance(listed, list):
        raise WalkFailed("`models` is no list")
    return [model.get("name") if isinstance(model, dict) else model for model in listed]
