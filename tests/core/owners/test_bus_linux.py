"""What is told where systemd's bus cannot be used: a real dbus-daemon without a systemd, and sockets that are odd."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import SpawnFailed, StopFailed
from core.owners.systemd import owner
from core.owners.systemd.bus import MANAGER, MANAGER_PATH, BusTrouble, connected
from core.owners.systemd.bus import Bus as SystemBus
from core.settings.paths import Paths
from tests.beds import BedMissing
from tests.beds.require import require
from tests.core.owners.test_shim_start import plan_for
from tests.words import raw

DEADLINE = 20.0


class Bus:
    """A dbus-daemon of the tests' own, with nothing on it."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("dbus-daemon")
        if program is None:
            raise BedMissing("there is no dbus-daemon: install Debian's package dbus-daemon")
        self.address = f"unix:path={folder / 'bus'}"
        command = [program, "--session", "--nofork", "--nopidfile", "--print-address=1", f"--address={self.address}"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline()

    def pause(self) -> None:
        """Have it hang."""
        psutil.Process(self.process.pid).suspend()

    def end(self) -> None:
        """Kill it. Safe to repeat."""
        self.process.kill()
        self.process.communicate(timeout=DEADLINE)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="aura-bus-") as found:
        yield Path(found)


@pytest.fixture
def bus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """The system bus of this test."""
    made = require(lambda: Bus(folder))
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.address)
    yield made
    made.end()


async def told(tmp_path: Path) -> list[str]:
    """What one is told who checks, and who stops."""
    controlled = owner.make(Paths(tmp_path), "systemd:ollama.service")
    with pytest.raises(SpawnFailed) as unchecked:
        await controlled.check(plan_for(tmp_path))
    with pytest.raises(StopFailed) as unstopped:
        await controlled.call_off("default")
    return [str(unchecked.value), str(unstopped.value)]


async def _served(serve: Callable[..., Any], path: Path) -> asyncio.Server:
    # The type checker looks at this for Windows too, which has no such function.
    server: asyncio.Server = await getattr(asyncio, "start_unix_server")(serve, path)  # noqa: B009
    return server


def _nothing(path: Path) -> None:
    """No file."""


def _nobody(path: Path) -> None:
    """A socket at which nobody listens any more."""
    with socket.socket(getattr(socket, "AF_UNIX", socket.AF_INET)) as closed:
        closed.bind(str(path))


@pytest.mark.parametrize(
    ("make", "words"), [(_nothing, "There is no system bus here"), (_nobody, "Nobody listens on the system bus")]
)
async def test_a_bus_that_is_not_there_is_told_of_in_words(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], words: str
) -> None:
    make(folder / "bus")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={folder / 'bus'}")
    for text in await told(tmp_path):
        assert words in text
        assert raw(text) is None


@pytest.mark.parametrize("address", ["rubbish", "unix:path=relative", "tcp:host=127.0.0.1,port=no", "carrier:pigeon=1"])
async def test_an_address_that_is_none_is_told_of_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    for text in await told(tmp_path):
        assert "system bus" in text
        assert raw(text) is None


@pytest.mark.parametrize("answer", [b"", b"REJECTED KERBEROS_V4\r\n", b"\x00\xff rubbish\r\n", b"OK 1234deadbeef\r\n"])
async def test_one_that_answers_oddly_is_told_of_in_words(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await writer.drain()
        writer.close()

    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={folder / 'bus'}")
    async with await _served(serve, folder / "bus"):
        for text in await told(tmp_path):
            assert "he system bus" in text
            assert raw(text) is None


async def test_a_bus_without_systemd_is_told_of_in_words(tmp_path: Path, bus: Bus) -> None:
    for text in await told(tmp_path):
        assert "There is no systemd on the system bus" in text
        assert raw(text) is None


async def test_a_bus_that_ends_meanwhile_is_told_of_and_leaves_nothing_on_the_error_output(bus: Bus) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def failure(connection: SystemBus) -> str:
        with pytest.raises(BusTrouble) as trouble:
            await connection.call(MANAGER_PATH, MANAGER, "ListJobs")
        return str(trouble.value)

    async def failures() -> list[str]:
        async with connected(is_user=False) as waiting, connected(is_user=False) as other:
            # On one connection an answer is awaited; on the other one a call is made before its end has been seen.
            bus.pause()
            asking = asyncio.create_task(failure(waiting))
            await asyncio.sleep(0)
            bus.process.kill()
            bus.process.wait()
            return [await failure(other), await asking, await failure(other), await failure(waiting)]

    for text in await failures():
        assert "has ended the connection" in text
        assert raw(text) is None
    # What nobody has asked for is told of when it is thrown away.
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []
