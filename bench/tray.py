"""The program with its icon as a user has it, on a desktop of `bench.desktop`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.desktop import Desktop
from bench.peers import PYSTRAY
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.server import ollama_environment
from tests.beds.sidecar import CHECKOUT

END_SECONDS = 30.0
NOTE_SECONDS = 30.0


def configure(root: Path, ollama_port: int, executable: Path | None = None) -> None:
    """Write both settings files, for that Ollama at that port; by default the real one."""
    data = root / "AuraData"
    data.mkdir(parents=True, exist_ok=True)
    aura = {
        "ollamaUrl": f"http://127.0.0.1:{ollama_port}",
        "ollamaExecutablePath": str(executable or ollama().executable),
    }
    own = {"env": ollama_environment(root, root / "models"), "stopOnTerminate": True}
    (data / "settings.json").write_text(json.dumps(aura))
    (data / "ollama-sidecar.json").write_text(json.dumps(own))


@contextlib.contextmanager
def ours(root: Path, desk: Desktop) -> Iterator[subprocess.Popen[bytes]]:
    """The program for the settings in `root`, from its start on. Ends it, and its Ollama with it."""
    command = [sys.executable, "-m", "tray", "--port", "0", "--data-dir", str(root)]
    env = desk.environment() | {"HOME": str(root), "XDG_CONFIG_HOME": str(root / "config")}
    with _running(command, env) as process:
        yield process


@contextlib.contextmanager
def bare(desk: Desktop) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ten lines that shows an icon by the same library, from its start on."""
    with _running([sys.executable, "-c", PYSTRAY], desk.environment()) as process:
        yield process


@contextlib.contextmanager
def _running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    silence = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=CHECKOUT, env=env, stdin=silence, stdout=silence, stderr=silence) as process:
        try:
            yield process
        finally:
            end(process, END_SECONDS)


def url(root: Path) -> str:
    """Where the program's sidecar listens, once it does. Raises TimeoutError."""
    note = root / "AuraData" / "run" / "sidecar.json"
    deadline = time.monotonic() + NOTE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(note.read_text())["url"])
        time.sleep(0.01)
    raise TimeoutError(f"{note} does not come")
