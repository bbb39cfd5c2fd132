"""The real tray program as a child process, on a desktop of the tests' own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from PIL import Image

import icons
from core.settings.paths import Paths
from tests.beds.desktop import Entry, Host, Tray, host, session_bus
from tests.beds.require import require
from tests.beds.screen import screen
from tests.beds.sidecar import CHECKOUT
from tests.rig import Rig

DEADLINE = 10.0
_SIZE = 64


class Desk:
    """A bus with a host, and a screen."""

    def __init__(self, host: Host, bus: str, display: str) -> None:
        self.host = host
        self.env = {"DBUS_SESSION_BUS_ADDRESS": bus, "DISPLAY": display, "NO_AT_BRIDGE": "1", "GDK_BACKEND": "x11"}


@asynccontextmanager
async def desktop() -> AsyncIterator[Desk]:
    """A desktop with a tray and a place for toasts. On a machine that cannot have it, as `require` says."""
    bus, display = session_bus(), screen()
    address = require(bus.__enter__)
    try:
        shown = require(display.__enter__)
        try:
            async with host(address) as seen:
                yield Desk(seen, address, shown)
        finally:
            display.__exit__(None, None, None)
    finally:
        bus.__exit__(None, None, None)


class Program:
    """One run of `python -m tray` for a rig's settings; what it says goes to a file."""

    def __init__(
        self,
        rig: Rig,
        env: Mapping[str, str],
        *arguments: str,
        script: Path | None = None,
        into: str = "tray.txt",
        has_own_place: bool = True,
    ) -> None:
        """`arguments` come after those for a free port and the rig's folder, unless without `has_own_place`.

        It speaks into the file `into` in the rig's folder.
        """
        self.paths = Paths(rig.root)
        self._said = rig.root / into
        command = [str(script)] if script else ["-m", "tray"]
        place = ["--port", "0", "--data-dir", str(rig.root)] if has_own_place else []
        own = {"HOME": str(rig.root), "XDG_CONFIG_HOME": str(rig.root / "config"), "PYTHONPATH": str(CHECKOUT)}
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "DISPLAY", "WAYLAND"))
        }
        self.environment = kept | own | dict(env)
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, *command, *place, *arguments],
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def said(self) -> str:
        """All that came out so far."""
        return self._said.read_text(errors="replace")

    async def url(self) -> str:
        """Where its sidecar listens, once it does."""
        note = self.paths.run / "sidecar.json"
        await wait_for(lambda: note.exists() and note.read_text() != "")
        return str(json.loads(note.read_text())["url"])

    async def ended(self, within: float) -> int:
        """Its exit code; TimeoutError if it takes longer."""
        async with asyncio.timeout(within):
            return await asyncio.to_thread(self.process.wait, within + 1)

    async def end(self) -> None:
        """End it in any case, politely at first."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(self.process.wait, DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(DEADLINE)
                raise AssertionError(f"the tray program had to be killed: {self.said}") from None


@asynccontextmanager
async def running(rig: Rig, desk: Desk) -> AsyncIterator[tuple[Program, Tray]]:
    """The program with its icon in the host's tray."""
    desk.host.forget_trays()
    program = Program(rig, desk.env)
    try:
        yield program, await desk.host.tray()
    finally:
        await program.end()


@contextmanager
def wishes(env: Mapping[str, str], models: int) -> Iterator[subprocess.Popen[str]]:
    """An icon of ours that carries out wishes at once; a line on its stdin is a change of status."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("wishes.py")), str(models)],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def change(process: subprocess.Popen[str], version: str, problem: str = "") -> None:
    """Have an icon of `wishes` show an Ollama of that version, and a problem with the settings if there is one."""
    assert process.stdin is not None
    process.stdin.write(f"{version}\t{problem}\n")


async def wait_for(holds: Callable[[], bool], within: float = DEADLINE) -> None:
    """Return once it holds; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.01)


async def until_look(tray: Tray, look: str) -> None:
    """Return once the icon on the bus is the image of that look, pixel by pixel."""
    with Image.open(icons.path(look, _SIZE)) as image:
        wanted = image.convert("RGBA").tobytes()
    async with asyncio.timeout(DEADLINE):
        while _pixels((await tray.properties())["IconName"]) != wanted:
            await asyncio.sleep(0.01)


def _pixels(path: str) -> bytes:
    # pystray writes a file for each image and removes the one before.
    try:
        with Image.open(path) as image:
            return image.convert("RGBA").tobytes()
    except OSError:
        return b""


async def until_entry(tray: Tray, *labels: str) -> Entry:
    """The menu entry with these labels, once there is one."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return (await tray.menu()).find(*labels)
            except LookupError:
                await asyncio.sleep(0.02)
