"""A supervisor on a data folder of its own, and looks at what it did to the system."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil

from core.owners.run_record import RunRecord, record_path
from core.settings.paths import Paths
from core.sidecar import Sidecar
from core.supervision.fleet import Fleet
from core.supervision.instance import Instance
from core.supervision.state import State, Status
from core.supervision.supervisor import Supervisor
from tests import tied
from tests.beds import shared
from tests.beds.server import copy_models, ollama_environment
from tests.beds.systemd import is_inside
from tests.beds.wire import call, free_port, listens

DEADLINE = tied.seconds(8.0)


class Rig:
    """Settings for one Ollama on a free port, below `root`. `supervising` runs the product's core on them."""

    def __init__(self, root: Path, executable: Path | str, **sidecar: object) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.paths = Paths(root)
        self.paths.data.mkdir(parents=True, exist_ok=True)
        self.executable = Path(executable)
        self._configured = str(executable)
        self._sidecar: dict[str, object] = {"env": ollama_environment(root, root / "models")} | sidecar
        self.configure()

    def configure(self, *, executable: Path | str | None = None, **sidecar: object) -> None:
        """Write both settings files; `sidecar` adds to what was given before."""
        self._sidecar |= sidecar
        aura = {"ollamaUrl": self.url, "ollamaExecutablePath": str(executable or self._configured)}
        self.paths.settings.write_text(json.dumps(aura))
        self.paths.sidecar.write_text(json.dumps(self._sidecar))

    @asynccontextmanager
    async def supervising(self, *, stop_ollama: bool = True) -> AsyncIterator[Supervisor]:
        """A running supervisor; at the end it closes, and with it its Ollama unless told otherwise."""
        supervisor = Supervisor(self.paths)
        running = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.close(stop_ollama=stop_ollama)
            async with asyncio.timeout(DEADLINE):
                await running

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sidecar]:
        """A running core; at the end it closes, and with it its Ollama."""
        core = Sidecar(self.paths)
        running = asyncio.create_task(core.run())
        try:
            yield core
        finally:
            core.close(stop_ollama=True)
            async with asyncio.timeout(DEADLINE):
                await running

    @asynccontextmanager
    async def supervising_all(self, *instances: Instance, stop_ollama: bool = True) -> AsyncIterator[Fleet]:
        """A running fleet of these instances; at the end it closes, and with it its Ollamas unless told otherwise."""
        fleet = Fleet(self.paths, instances=instances)
        running = asyncio.create_task(fleet.run())
        try:
            yield fleet
        finally:
            fleet.close(stop_ollama=stop_ollama)
            async with asyncio.timeout(DEADLINE):
                await running

    def record_of(self, instance: str) -> RunRecord:
        """What the run record of that instance says now."""
        return msgspec.json.decode(record_path(self.paths.run, instance).read_bytes(), type=RunRecord)

    @property
    def record(self) -> RunRecord:
        """What the run record says now."""
        content = record_path(self.paths.run).read_bytes()
        return msgspec.json.decode(content, type=RunRecord)

    def family(self) -> list[psutil.Process]:
        """The shim, its guard, its Ollama and whatever that started."""
        shim = psutil.Process(self.record.shim_pid)
        return [shim, *shim.children(recursive=True)]

    def ollamas(self) -> list[psutil.Process]:
        """The Ollama that the record names, and whatever it started."""
        server = psutil.Process(self.record.pid)
        return [server, *server.children(recursive=True)]

    @property
    def starts(self) -> int:
        """How many processes were ever spawned here: each has a log of its own."""
        return len({path.name.split(".")[0] for path in self.paths.logs.glob("ollama-*.log")})

    @property
    def is_listening(self) -> bool:
        """Whether anybody accepts connections on the port."""
        return listens(self.port)

    def with_model(self) -> Rig:
        """Give the Ollama to come the model `tiny`."""
        copy_models(self.root / "models")
        return self

    async def generate(self) -> None:
        """Have the model answer, and so be loaded."""
        body = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 3}}
        answer = await asyncio.to_thread(call, "POST", f"{self.url}/api/generate", body)
        assert answer.status == 200, answer.body


async def until(supervisor: Supervisor, fits: Callable[[Status], bool]) -> Status:
    """The first snapshot that fits; TimeoutError after `DEADLINE` seconds."""
    async with asyncio.timeout(DEADLINE):
        with supervisor.subscribe() as statuses:
            async for status in statuses:
                if fits(status):
                    return status
    raise AssertionError("a subscription never ends")


async def asked_until(supervisor: Supervisor, fits: Callable[[Status], bool]) -> Status:
    """As `until`, of a status that is asked for again and again: what changed on the disk is seen soon."""
    async with asyncio.timeout(DEADLINE):
        while not fits(status := await supervisor.status()):
            await asyncio.sleep(0.05)
    return status


async def until_state(supervisor: Supervisor, state: State) -> Status:
    """The first snapshot in that state; TimeoutError after `DEADLINE` seconds."""
    return await until(supervisor, lambda status: status.state is state)


async def gone(processes: list[psutil.Process], within: float) -> list[psutil.Process]:
    """Those that still live after `within` seconds; returns as soon as there are none."""
    deadline = time.monotonic() + within
    while (left := [process for process in processes if lives(process)]) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return left


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def reaped(process: psutil.Process) -> bool:
    """Whether it is dead; an orphan that came to us is reaped on the way, so that its number is free again."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        if sys.platform != "win32":
            os.waitpid(process.pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        pass
    return True


def below_us() -> list[psutil.Process]:
    """Every process below this one, but for those of a bed that several tests share."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if not is_inside(each) and not shared.descends(each, shared.roots)]
