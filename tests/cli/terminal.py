"""Runs `aura-ollama` as a person does, and looks at what it printed and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests import tied
from tests.beds.ending import NO_WINDOW, end
from tests.beds.sidecar import CHECKOUT

DEADLINE = tied.seconds(30.0)
PROGRAM = (sys.executable, "-m", "cli")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended: its exit code, and all that it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the one JSON document that it has to be."""
        return json.loads(self.out)


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change a command's output, and with `env`."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "AURA_DATA_PATH", "COLUMNS")}
    return kept | {"PYTHONIOENCODING": "utf-8"} | dict(env or {})


def aura(*arguments: str, data: Path | None = None, env: Mapping[str, str] | None = None) -> Said:
    """`aura-ollama` with these arguments, its output in pipes; `data` is given as `--data-dir`."""
    done = subprocess.run(
        [*PROGRAM, *arguments, *(["--data-dir", str(data)] if data else [])],
        cwd=CHECKOUT,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
        creationflags=NO_WINDOW,
    )
    return Said(done.returncode, _text(done.stdout), _text(done.stderr))


class Following:
    """A command that goes on; what it has printed until now can be looked at. Made by `following`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._printed = {"out": bytearray(), "err": bytearray()}
        self._changed = threading.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        pipes = {"out": process.stdout, "err": process.stderr}
        self._readers = [threading.Thread(target=self._read, args=item) for item in pipes.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        while part := os.read(pipe.fileno(), 1 << 16):
            with self._changed:
                self._printed[name] += part
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """The whole lines on stdout."""
        return _text(bytes(self._printed["out"])).split("\n")[:-1]

    @property
    def err(self) -> str:
        """All on stderr."""
        return _text(bytes(self._printed["err"]))

    def until(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; looked at whenever something is printed, and ten times a second."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while not holds():
                assert time.monotonic() < deadline, f"{self.lines[-5:]} {self.err}"
                self._changed.wait(0.1)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code, once all that was printed has come."""
        code = end(self.process, DEADLINE, signal.SIGINT)
        self.join()
        return code

    def join(self) -> None:
        """Wait until all that was printed has come."""
        for reader in self._readers:
            reader.join(DEADLINE)


def begun(*arguments: str, data: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """`aura-ollama` with these arguments, its output in pipes, as a process that goes on."""
    return subprocess.Popen(
        [*PROGRAM, *arguments, "--data-dir", str(data)],
        cwd=CHECKOUT,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=NO_WINDOW,
    )


@contextmanager
def following(*arguments: str, data: Path, env: Mapping[str, str] | None = None) -> Iterator[Following]:
    """`aura-ollama` with these arguments, its output in pipes, while the block lasts; killed if it lasts longer."""
    with begun(*arguments, data=data, env=env) as process:
        command = Following(process)
        try:
            yield command
        finally:
            process.kill()
            command.join()


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "replace").replace("\r\n", "\n")
