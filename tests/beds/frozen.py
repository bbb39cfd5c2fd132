"""The program as a person gets it: frozen by `python -m release`, and run on a data folder of its own."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from core.platform import birth
from tests.beds import BedMissing
from tests.beds.server import copy_models, ollama_environment
from tests.beds.wire import Answer, call, free_port, listens

CHECKOUT = Path(__file__).parents[2]
VERSIONS = ("0.0.1", "0.0.2")
BUILD_DEADLINE = 400.0
DEADLINE = 60.0
# A machine that builds at the same time reads a hundred megabytes of Ollama slowly.
READY_SECONDS = 30
_SUFFIX = ".exe" if sys.platform == "win32" else ""
PROGRAM = f"aura-ollama{_SUFFIX}"
WINDOWED = f"aura-ollama{'w' if sys.platform == 'win32' else ''}{_SUFFIX}"
"""The same program for the desktop: on Windows the one that has no console."""
SHIM = f"_internal/shim/aura-ollama-shim{_SUFFIX}"


def freeze(place: Path) -> list[Path]:
    """Build the program twice, once as each of `VERSIONS`; the folders. Raises `BedMissing` without PyInstaller."""
    if importlib.util.find_spec("PyInstaller") is None:
        raise BedMissing(f"the frozen program needs PyInstaller: {sys.executable} -m pip install -e '.[dev]'")
    with ThreadPoolExecutor() as builders:
        return list(builders.map(lambda version: _build(place / version, version), VERSIONS))


def _build(out: Path, version: str) -> Path:
    command = [sys.executable, "-m", "release", "--out", str(out), "--version", version]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BUILD_DEADLINE,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-5000:]
    return out / "aura-ollama"


class Frozen:
    """One installed copy of a frozen program, with an Ollama of its own to start."""

    def __init__(self, root: Path, executable: Path) -> None:
        """`executable` is Ollama's. All that both write stays in `root`."""
        self.folder = root / "program"
        self.root = root
        self.ollama_port = free_port()
        self.data = root / "AuraData"
        self.data.mkdir()
        copy_models(root / "models")
        aura = {"ollamaUrl": f"http://127.0.0.1:{self.ollama_port}", "ollamaExecutablePath": str(executable)}
        # Wine reports no processor groups, and the runner's OpenMP library then trips over its own affinity masks.
        env = ollama_environment(root, root / "models") | {"KMP_AFFINITY": "disabled"}
        own = {"env": env, "readyTimeout": READY_SECONDS}
        (self.data / "settings.json").write_text(json.dumps(aura))
        (self.data / "ollama-sidecar.json").write_text(json.dumps(own))

    def install(self, build: Path) -> None:
        """Put a build where none was, or in place of the one that is there."""
        if self.folder.exists():
            retired = self.folder.with_name("retired")
            self.folder.rename(retired)
            shutil.rmtree(retired)
        shutil.copytree(build, self.folder, symlinks=True)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Run it without a tray; its address. At the end it is killed, as by a crash."""
        port = free_port()
        command = [*self.command("--headless"), "--port", str(port)]
        nothing = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing) as process:
            try:
                eventually(lambda: listens(port) or process.poll() is not None, "server")
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()

    def command(self, *arguments: str, program: str = PROGRAM) -> list[str]:
        """How to run it on its data folder."""
        return [str(self.folder / program), *arguments, "--data-dir", str(self.root)]

    def record(self) -> dict[str, object]:
        """The run record."""
        found: dict[str, object] = json.loads((self.data / "run/default.json").read_text())
        return found

    def tree(self) -> dict[int, str | None]:
        """The shim and all below it: their births by pid."""
        shim = psutil.Process(int(str(self.record()["shimPid"])))
        return {process.pid: birth(process.pid) for process in [shim, *shim.children(recursive=True)]}

    def generate(self) -> None:
        """Have the model answer, and so be loaded."""
        body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 3}}
        answer = call("POST", f"http://127.0.0.1:{self.ollama_port}/api/generate", dict(body), timeout=DEADLINE)
        assert answer.status == 200, answer.body


def eventually(holds: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait for what no event announces."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.02)


def ask(url: str, method: str, what: str) -> Answer:
    """One call of the sidecar's API."""
    return call(method, f"{url}/api/ollama/{what}", timeout=DEADLINE)


def alive(tree: dict[int, str | None]) -> list[int]:
    """The pids of those that still live."""
    return [pid for pid, born in tree.items() if born is not None and birth(pid) == born]
