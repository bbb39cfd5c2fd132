"""The sidecar, run inside a booted system, and how a test outside asks it: by its loopback port."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from core.settings.paths import Paths
from tests.beds.systemd import Booted
from tests.beds.wire import JsonObject, call, free_port

PROJECT = Path(__file__).parents[2]
DEADLINE = 20.0


class Serviced:
    """A sidecar inside `booted`, for `root`, a folder that both share. A context manager; its end lets Ollama run."""

    def __init__(self, booted: Booted, root: Path, url: str, *, user: str | None = None, **sidecar: object) -> None:
        self.paths = Paths(root)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._booted = booted
        self._user = user
        self._root = root
        self._ollama_url = url
        self._sidecar = {"port": self.port, **sidecar}
        self._process: subprocess.Popen[bytes] | None = None
        self.paths.data.mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self, **sidecar: object) -> None:
        """Write both settings files; `sidecar` adds to what was given before."""
        self._sidecar |= sidecar
        self.paths.settings.write_text(json.dumps({"ollamaUrl": self._ollama_url}))
        self.paths.sidecar.write_text(json.dumps(self._sidecar))

    def __enter__(self) -> Self:
        command = self._booted.command(
            "env",
            *("-C", PROJECT, "PYTHONDONTWRITEBYTECODE=1"),
            *(["XDG_RUNTIME_DIR=/run/user/4100", "HOME=/home/ada"] if self._user else []),
            *(sys.executable, "-m", "api", "--data-dir", self._root),
            user=self._user,
        )
        with (self._root / "sidecar.out").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.until("/healthz", lambda answer: True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGTERM)

    def end(self, number: signal.Signals) -> None:
        """End the sidecar by that signal. Safe to repeat."""
        if self._process is not None:
            # nsenter passes no signal on, so the sidecar itself gets it.
            self._booted.call("pkill", f"-{number.value}", "-f", f"[-]m api --data-dir {self._root}$")
            self._process.wait(DEADLINE)
            self._process = None

    def ask(self, method: str, path: str, body: JsonObject | None = None, timeout: float = 60.0) -> Any:
        """The JSON of the answer, whatever its status. The token goes along: the sidecar may be another user's."""
        token = self.paths.run / "token"
        headers = {"X-Aura-Token": token.read_text().strip()} if token.is_file() else {}
        return call(method, self.url + path, body, timeout=timeout, headers=headers).json

    def status(self) -> dict[str, Any]:
        """What `status` says now."""
        found: dict[str, Any] = self.ask("GET", "/api/ollama/status")
        return found

    def until(self, path: str, fits: Any, seconds: float = DEADLINE) -> Any:
        """The first answer to GET that fits; AssertionError with the last one after that many seconds."""
        deadline = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < deadline:
            try:
                last = self.ask("GET", path)
                if fits(last):
                    return last
            except OSError as error:
                last = error
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{path}: {last}\n{(self._root / 'sidecar.out').read_text()[-2000:]}")

    def until_state(self, state: str, seconds: float = DEADLINE) -> dict[str, Any]:
        """The first status in that state in which Ollama answers, or is down."""
        found: dict[str, Any] = self.until("/api/ollama/status", lambda status: status["state"] == state, seconds)
        return found
