"""One data folder, one port and one Ollama under one sidecar after the other, with every process of theirs in sight."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil

from core.logs import tail
from core.logs.segments import PREFIX_BYTES
from core.owners.run_record import RunRecord, record_path
from core.settings.paths import Paths
from tests.beds.sidecar import Sidecar
from tests.beds.wire import Answer, JsonObject, call, free_port
from tests.rig import below_us, lives, reaped

DEADLINE = 10.0


class Place:
    """Where it all happens. A context manager: whatever still runs at the end is stopped, or killed if it does not."""

    def __init__(self, root: Path, executable: Path, settings: Mapping[str, object] | None = None) -> None:
        self.root = root
        self.executable = executable
        self.settings: dict[str, object] = dict(settings or {})
        self.paths = Paths(root)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._sidecar: Sidecar | None = None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._sidecar:
            with suppress(RuntimeError) if kind else _nothing():
                self._sidecar.stop()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def sidecar(self) -> Sidecar:
        """The sidecar of now, started on first use."""
        if self._sidecar is None:
            self._sidecar = Sidecar(
                self.root,
                executable=self.executable,
                models=self.root / "models",
                ollama_port=self.port,
                settings=self.settings,
            ).__enter__()
        return self._sidecar

    def kill_sidecar(self) -> None:
        """SIGKILL it; the next use of `sidecar` starts another."""
        self.sidecar.process.kill()
        self.sidecar.process.wait(DEADLINE)
        self._sidecar = None

    def configure(self, **settings: object) -> None:
        """Change the sidecar's settings, beside a running sidecar too."""
        self.settings |= settings
        if self.paths.sidecar.exists():
            before = json.loads(self.paths.sidecar.read_text())
            self.paths.sidecar.write_text(json.dumps(before | settings))

    def post(self, wish: str) -> Answer:
        """`start` or `stop`."""
        return call("POST", f"{self.sidecar.url}/api/ollama/{wish}", timeout=30)

    def start(self) -> int:
        """Start, which must work; the pid."""
        answer = self.post("start")
        assert answer.status == 200, answer.body
        return int(str(answer.json["pid"]))

    def status(self) -> JsonObject:
        """What the sidecar says."""
        return call("GET", f"{self.sidecar.url}/api/ollama/status").json

    def record(self) -> RunRecord | None:
        """The run record; None if there is none."""
        try:
            return msgspec.json.decode(record_path(self.paths.run).read_bytes(), type=RunRecord)
        except FileNotFoundError:
            return None

    def log(self) -> list[str]:
        """All lines of all logs, oldest first."""
        paths = [Path(path) for path in tail.segments(str(self.paths.logs))]
        return [line for path in paths for line in path.read_text().splitlines()]

    def newest_start(self) -> str:
        """What the names of the last start's logs begin with."""
        newest = tail.newest(str(self.paths.logs))
        return Path(newest).name.split(".")[0] if newest else ""

    def newest_log(self) -> list[str]:
        """All lines of the last start."""
        files = [Path(path) for path in tail.segments(str(self.paths.logs))]
        last = [path for path in files if path.name.split(".")[0] == self.newest_start()]
        return [line for path in last for line in path.read_text().splitlines()]

    def said(self) -> list[str]:
        """What Ollama itself wrote in the last start."""
        return [line[PREFIX_BYTES:] for line in self.newest_log() if not line.startswith("[SYS]")]

    def processes(self) -> list[psutil.Process]:
        """Everything alive below this test but the sidecar itself, wherever it hangs in the tree of processes."""
        own = {self._sidecar.process.pid} if self._sidecar else set()
        found = [process for process in below_us() if process.pid not in own]
        return [process for process in found if not reaped(process) and lives(process)]

    def see_all_gone(self) -> None:
        """Return once nothing of ours lives but the sidecar: a guard needs a moment to hear that it is not needed."""
        wait_until(lambda: not self.processes(), "the end of all", within=1.0)

    def shims(self) -> list[psutil.Process]:
        """The shims that live."""
        return [process for process in self._with_word("core.shim") if _session(process.pid) == process.pid]

    def guards(self) -> list[psutil.Process]:
        """The guards that live: each is a fork of its shim, and has its command line and its session."""
        return [process for process in self._with_word("core.shim") if _session(process.pid) not in (0, process.pid)]

    def ollamas(self) -> list[psutil.Process]:
        """Every process of an Ollama that serves; a wrapped one is several."""
        return self._with_word("serve")

    def servers(self) -> list[psutil.Process]:
        """The Ollamas, each by the last one of its processes, not by those that wrap it."""
        found = self.ollamas()
        wrappers = {wrapper.pid for process in found for wrapper in process.parents()}
        return [process for process in found if process.pid not in wrappers]

    def runners(self) -> list[psutil.Process]:
        """The model runners."""
        return self._with_word("runner")

    def _with_word(self, word: str) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if word in process.cmdline():
                    found.append(process)
        return found

    @contextmanager
    def generating(self) -> Iterator[None]:
        """A generation that is under way inside the block, for a client who does not read on."""
        options = {"num_predict": 10_000, "num_thread": 1, "temperature": 0, "repeat_penalty": 1.5}
        body = json.dumps({"model": "tiny", "prompt": "x", "raw": True, "options": options}).encode()
        head = f"POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(head.encode() + body)
            answer = b""
            while answer.count(b'"response"') < 3:
                part = connection.recv(4096)
                assert part, answer
                answer += part
            yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _session(pid: int) -> int:
    """The session that a process belongs to, which is the pid of its leader; 0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[3])
    except OSError:
        return 0


def wait_until(holds: Callable[[], object], what: str, within: float = DEADLINE) -> None:
    """Return once it holds; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.002)
