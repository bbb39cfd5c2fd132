"""The product as a user has it: `python -m api` in a process of its own, on a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.beds.ending import NO_WINDOW, end
from tests.beds.server import ollama_environment
from tests.beds.wire import listens

CHECKOUT = Path(__file__).parents[2]
READY_DEADLINE = 60.0
STOP_DEADLINE = 30.0
GREETING = re.compile(r"listening on (http://\S+)")


class Sidecar:
    """A headless sidecar for one Ollama executable, answering at `url`. A context manager that ends it.

    Everything it and its Ollama write stays in `root`. Nothing typed at the keyboard reaches it: it has a session of
    its own, so that Ctrl-C is its starter's to handle. When it is terminated it takes its Ollama along.
    """

    def __init__(
        self,
        root: Path,
        *,
        executable: Path,
        models: Path,
        ollama_port: int,
        settings: Mapping[str, object] | bytes | None = None,
        program: Sequence[str] = (sys.executable, "-m", "api"),
        env: Mapping[str, str] | None = None,
        cwd: Path = CHECKOUT,
        port: int = 0,
    ) -> None:
        """`settings` adds to what `ollama-sidecar.json` gets; bytes are all that it gets.

        `program` is what is run, in the folder `cwd` and with `env` added to our environment. It listens on `port`, by
        default any free one.
        """
        self.root = root
        self.ollama_port = ollama_port
        self.ollama_url = f"http://127.0.0.1:{ollama_port}"
        self.errors = root / "sidecar-errors.txt"
        self._write_settings(executable, ollama_environment(root, models), {} if settings is None else settings)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*program, "--port", str(port), "--data-dir", str(root)],
                cwd=cwd,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="surrogateescape",
                start_new_session=True,
                creationflags=NO_WINDOW,
            )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.url = ""

    def _write_settings(self, executable: Path, env: Mapping[str, str], settings: Mapping[str, object] | bytes) -> None:
        data = self.root / "AuraData"
        data.mkdir(parents=True, exist_ok=True)
        aura = {"ollamaUrl": self.ollama_url, "ollamaExecutablePath": str(executable)}
        (data / "settings.json").write_text(json.dumps(aura, indent=2))
        own = data / "ollama-sidecar.json"
        if isinstance(settings, bytes):
            own.write_bytes(settings)
        else:
            own.write_text(json.dumps({"env": dict(env), "stopOnTerminate": True, **settings}, indent=2))

    def _listen(self) -> None:
        """Drain its standard output to the end; a greeting, or the end without one, is worth telling."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                if greeting := GREETING.search(line):
                    self._said.put(greeting[1])
        self._said.put("")

    def __enter__(self) -> Self:
        try:
            self.url = self._said.get(timeout=READY_DEADLINE)
        except queue.Empty:
            self.stop()
            raise RuntimeError(f"the sidecar did not say where it listens: {self._last_words()}") from None
        except BaseException:
            self.stop()
            raise
        if not self.url:
            raise RuntimeError(f"the sidecar ended with {self.process.wait(STOP_DEADLINE)}: {self._last_words()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What went wrong first is what a person must read.
        with contextlib.suppress(RuntimeError) if error else contextlib.nullcontext():
            self.stop()

    def stop(self) -> int:
        """Terminate it and return its exit code.

        `RuntimeError` if it had to be killed after 30 s, or if its Ollama lived on; neither does any more.
        """
        try:
            code = end(self.process, STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE)
            self._kill_what_is_left()
            raise RuntimeError(f"the sidecar had to be killed: {self._last_words()}") from None
        if listens(self.ollama_port):
            self._kill_what_is_left()
            raise RuntimeError(f"the sidecar ended, and its Ollama still answered at {self.ollama_url}")
        return code

    def _kill_what_is_left(self) -> None:
        """Our Ollama and its runners, known by a HOME that nobody else has."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.root):
                    process.kill()

    def _last_words(self) -> str:
        return self.errors.read_text(errors="replace")[-3000:] or "(it said nothing)"
