"""Real Ollama servers started outside the product, and the models folder that tests copy."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.beds import BedMissing, cache, gguf
from tests.beds.ending import NO_WINDOW, ask_to_end
from tests.beds.ollama import VERSION, ollama
from tests.beds.wire import call, free_port, listens

READY_DEADLINE = 30.0
STOP_DEADLINE = 10.0
LOOK_AGAIN = 0.02
MODEL = "tiny"


class OllamaServer:
    """One `ollama serve` in a session of its own, as somebody else would have started it. A context manager.

    `home` becomes its HOME and gets its output as `serve.log`; `models` is its models folder, `home/models` by default.
    Leaving the context kills everything it started, its model runners too.
    """

    def __init__(
        self,
        home: Path,
        *,
        executable: Path | None = None,
        models: Path | None = None,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.executable = executable or ollama().executable
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "serve.log"
        self._ended = False
        home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [self.executable, "serve"],
                cwd=home,
                env=self._environment(home, models or home / "models") | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                creationflags=NO_WINDOW,
            )

    def _environment(self, home: Path, models: Path) -> dict[str, str]:
        # Windows starts nothing without its own few; elsewhere a stranger's environment is as small as can be.
        own = os.environ if sys.platform == "win32" else {"PATH": os.environ.get("PATH", os.defpath)}
        return {**own, **ollama_environment(home, models), "OLLAMA_HOST": f"127.0.0.1:{self.port}"}

    @property
    def pid(self) -> int:
        """The process that was started: the server itself, or the front of a wrapped one."""
        return self.process.pid

    def wait_ready(self) -> None:
        """Return once it answers; `RuntimeError` with its last words if it ends first or takes 30 s."""
        deadline = time.monotonic() + READY_DEADLINE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"ollama serve ended with {self.process.returncode}: {self._last_words()}")
            with contextlib.suppress(OSError):
                if call("GET", f"{self.url}/api/version", timeout=2.0).status == 200:
                    return
            time.sleep(LOOK_AGAIN)
        raise RuntimeError(f"ollama serve did not answer within {READY_DEADLINE:.0f} s: {self._last_words()}")

    def stop(self) -> int:
        """Ask it to end, kill its whole session if it does not within 10 s, and return its exit code."""
        ask_to_end(self.process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_DEADLINE)
        self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """End everything it started, without asking, and see its port closed. Safe to repeat."""
        if self._ended:
            # Its number may be another program's by now.
            return
        self._kill_all()
        self.process.wait(STOP_DEADLINE)
        self._ended = True
        deadline = time.monotonic() + STOP_DEADLINE
        while listens(self.port) and time.monotonic() < deadline:
            # A kill returns before the kernel has closed what the killed held.
            time.sleep(LOOK_AGAIN)

    if sys.platform == "win32":

        def _kill_all(self) -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(self.pid)
                # Asked for before the kill: afterwards nobody can tell whose children they were.
                for process in [*server.children(recursive=True), server]:
                    process.kill()

    else:

        def _kill_all(self) -> None:
            with contextlib.suppress(ProcessLookupError):
                # It leads its session, so its number names a group as long as one process of it lives.
                os.killpg(self.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def ollama_environment(home: Path, models: Path) -> dict[str, str]:
    """The variables that keep an Ollama's files in `home`, whatever the system calls that place, and in `models`."""
    return {"HOME": str(home), "USERPROFILE": str(home), "OLLAMA_MODELS": str(models)}


def models_dir() -> Path:
    """The cached models folder that holds the model `tiny`. Never let a server use it: `copy_models` makes yours.

    Made on first use by the real Ollama. Raises `BedMissing`.
    """
    executable = ollama().executable
    recipe = hashlib.sha256(executable.parent.name.encode())
    for module in (gguf.__file__, __file__):
        recipe.update(Path(module).read_bytes())
    return cache.built(f"models-{VERSION}-{recipe.hexdigest()[:12]}", _create_models)


def copy_models(target: Path) -> Path:
    """Make `target` a models folder of your own with the model `tiny` in it, half a megabyte, and return it."""
    shutil.copytree(models_dir(), target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return target


def create_model(url: str, name: str, weights: bytes) -> None:
    """Have the Ollama at `url` make the model `name` from the contents of a GGUF file."""
    digest = f"sha256:{hashlib.sha256(weights).hexdigest()}"
    steps = (
        call("POST", f"{url}/api/blobs/{digest}", weights, timeout=30.0),
        call("POST", f"{url}/api/create", {"model": name, "files": {"model.gguf": digest}, "stream": False}),
    )
    for answer in steps:
        if answer.status not in (200, 201):
            raise RuntimeError(f"the model {name} cannot be made: {answer.status} {answer.body[:500]!r}")


def _create_models(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="aura-models-") as scratch:
        weights = Path(scratch) / "tiny.gguf"
        gguf.write_tiny_model(weights)
        try:
            with OllamaServer(Path(scratch) / "home", models=place) as server:
                create_model(server.url, MODEL, weights.read_bytes())
                server.stop()
        except (OSError, RuntimeError) as failure:
            raise BedMissing(f"the real Ollama does not run on this machine: {failure}") from failure
    for path in place.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
