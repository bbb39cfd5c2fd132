"""The walk of a user on Windows: the real program, icon and menu, run by Wine with the real `ollama.exe`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.supervision.state import State, Status
from tests.beds.panel import GREEN, RED
from tests.beds.require import require
from tests.beds.wine import Wine, wine
from tests.beds.wire import JsonObject, call
from tests.rig import Rig
from tests.tray.wine_tray import Desk, Menu, WindowsProgram, desk, open_menu, until, until_menu, windows_rig
from tray.menu import SEPARATOR, Facts, view

pytestmark = pytest.mark.timeout(300)  # a Windows session and two programs start, beside whatever else is running


def names(state: State) -> list[str]:
    """What the lines of the menu are known by, from top to bottom; "-" is a separator."""
    return ["-" if item is SEPARATOR else item.name for item in view(Facts(Status(state))).items]


@pytest.fixture(scope="module")
def bed() -> Iterator[Wine]:
    """A Windows for all of these tests."""
    made = wine()
    yield require(made.__enter__)
    made.__exit__(None, None, None)


@pytest.fixture
def windows(bed: Wine) -> Iterator[Desk]:
    """A Windows session with a taskbar on a screen of our own."""
    with desk(bed) as found:
        yield found


@pytest.fixture
def rig(tmp_path: Path, windows: Desk) -> Rig:
    """The real `ollama.exe` with the tiny model."""
    return windows_rig(tmp_path, windows.wine)


@asynccontextmanager
async def running(rig: Rig, windows: Desk) -> AsyncIterator[WindowsProgram]:
    """The program, ended in any case."""
    program = WindowsProgram(rig, windows)
    try:
        yield program
    finally:
        await program.end()


async def status(program: WindowsProgram) -> JsonObject:
    """What the sidecar says."""
    url = f"{await program.url()}/api/ollama/status"
    return (await asyncio.to_thread(call, "GET", url)).json


def grey(menu: Menu, state: State) -> set[str]:
    """The entries that cannot be chosen in that state."""
    return {name for name, enabled in menu.enabled(names(state)).items() if not enabled}


def choose(windows: Desk, menu: Menu, state: State, name: str) -> None:
    """Click an entry of the open menu."""
    assert name not in grey(menu, state)
    windows.click(menu.place(names(state).index(name)), 1)


async def test_the_tray_walk(rig: Rig, windows: Desk) -> None:
    async with running(rig, windows) as program:
        await until(lambda: windows.is_sharp("down"))
        assert (await status(program))["running"] is False
        menu = await open_menu(windows, RED)
        assert grey(menu, State.STOPPED) == {"status"}

        choose(windows, menu, State.STOPPED, "power")
        await windows.balloon(f"answers at {rig.url}.")
        await until(lambda: windows.is_sharp("up"))
        told = await status(program)
        assert (told["running"], told["managedByApp"]) == (True, True)
        menu = await open_menu(windows, GREEN)
        assert grey(menu, State.RUNNING) == {"status"}
        choose(windows, menu, State.RUNNING, "models")
        rows = (await until_menu(windows, count=2)).rows
        # The model, and below the separator what to pull.
        assert [(row.is_separator, row.is_grey) for row in rows] == [(False, False), (True, False), (False, False)]

        choose(windows, menu, State.RUNNING, "power")
        await windows.balloon("Nothing of it is left running.")
        await until(lambda: windows.is_sharp("down"))
        assert (await status(program))["running"] is False
        assert not rig.is_listening

        choose(windows, await open_menu(windows, RED), State.STOPPED, "quit")
        assert await program.ended(within=8) == 0
        await until(lambda: windows.place(RED) is None)


async def test_a_killed_tray_leaves_ollama_and_the_next_one_is_green_at_once(rig: Rig, windows: Desk) -> None:
    first = WindowsProgram(rig, windows)
    try:
        await asyncio.to_thread(call, "POST", f"{await first.url()}/api/ollama/start", timeout=60)
        await rig.generate()
        await windows.until(GREEN)
        pid = (await status(first))["pid"]
    finally:
        first.process.kill()
        await first.ended(within=5)
    await until(lambda: windows.place(GREEN) is None)
    assert rig.is_listening

    async with running(rig, windows) as second:
        await windows.balloon("is ours again")
        told = await status(second)
        assert (told["pid"], told["adopted"], told["model"]) == (pid, True, "tiny:latest")
        menu = await open_menu(windows, GREEN)
        choose(windows, menu, State.RUNNING, "models")
        # Now all can be unloaded, too.
        assert len((await until_menu(windows, count=2)).rows) == 4
        choose(windows, menu, State.RUNNING, "power")
        await windows.until(RED)
        assert not rig.is_listening


async def test_the_icon_tells_the_status_survives_explorer_and_goes_with_the_session(rig: Rig, windows: Desk) -> None:
    async with running(rig, windows) as program:
        place = await windows.until(RED)
        windows.point(place)
        await windows.tip("Aura Ollama: Ollama is not running")
        windows.click(place, 1)
        await windows.balloon("Ollama is not running")

        await windows.taskbar("explorer-gone")
        await until(lambda: windows.place(RED) is None)
        await windows.taskbar("explorer-back")
        await windows.until(RED)

        await asyncio.to_thread(call, "POST", f"{await program.url()}/api/ollama/start", timeout=30)
        await rig.generate()
        await windows.taskbar("end-session")
        assert not rig.is_listening
        assert await program.ended(within=2) == 0
