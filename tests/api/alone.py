"""`python -m api` with streams and an environment that a test chooses; `tests.beds.sidecar` has the ordinary one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.settings.paths import Paths
from tests import tied
from tests.beds.ending import NO_WINDOW
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import free_port

DEADLINE = tied.seconds(10.0)
END_SECONDS = tied.seconds(5.0)


class Program:
    """`python -m api` on a data folder of its own, with its standard streams as told.

    With `--verbose`, by which a line tells of each call, however many there are.
    """

    def __init__(
        self,
        root: Path,
        *,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.paths = Paths(root)
        self.log = self.paths.logs.parent / "sidecar.log"
        self.paths.data.mkdir(parents=True, exist_ok=True)
        self.paths.settings.write_text(json.dumps({"ollamaUrl": f"http://127.0.0.1:{free_port()}"}))
        self.paths.sidecar.write_text(json.dumps(settings or {}))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api", "--verbose", "--port", "0", "--data-dir", str(root)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONIOENCODING": "", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            creationflags=NO_WINDOW,
        )

    def url(self) -> str:
        """Where it listens, once it does, by its own note."""
        note = self.paths.run / "sidecar.json"
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return str(json.loads(note.read_text())["url"])
            except (OSError, ValueError):
                assert time.monotonic() < deadline, "it does not serve"
                assert self.process.poll() is None, self.process.returncode
            time.sleep(0.01)

    def close(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextlib.contextmanager
def running(root: Path, **how: object) -> Iterator[Program]:
    program = Program(root, **how)  # type: ignore[arg-type]
    try:
        yield program
    finally:
        program.close()


def refuse(url: str, times: int) -> None:
    """Call as a page of another site, which is refused and logged each time."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE)
    for number in range(times):
        connection.request("GET", "/api/ollama/status", headers={"Origin": "http://page.example"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 403
        if number % 100 == 99:
            # Made anew at the next request.
            connection.close()
    connection.close()


def is_refusal(line: str) -> bool:
    return "GET '/api/ollama/status' 403" in line
