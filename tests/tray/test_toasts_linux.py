"""Toasts of the real program on a real notification daemon; one that hangs, and none at all."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import Xlib.display

import icons
from core.platform import desktop
from tests.beds.desktop import Tray, host, session_bus
from tests.beds.dunst import Dunst, dunst, installed
from tests.beds.ollama import ollama
from tests.beds.panel import focus, press_key, windows
from tests.beds.require import require
from tests.beds.screen import screen
from tests.beds.wire import call
from tests.rig import Rig
from tests.tray.program import Program, until_entry, until_look, wait_for

pytestmark = pytest.mark.timeout(40)  # a screen, a daemon and a program with GTK start one after the other

WINDOW = "Aura Ollama"


class Shown:
    """The program with its icon, and the screen that it is on."""

    def __init__(self, rig: Rig, program: Program, tray: Tray, display: str, bus: str) -> None:
        self.rig = rig
        self.opened = rig.root / "opened"
        """What was opened in the user's own program, a path a line."""
        self.program = program
        self.tray = tray
        self.display = display
        self.bus = bus


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    """The program where nobody shows toasts yet."""
    rig = Rig(tmp_path, require(ollama).executable)
    opener = tmp_path / "opener" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path / "opened"}\n')
    opener.chmod(0o755)
    path = f"{opener.parent}{os.pathsep}{os.environ['PATH']}"
    with session_bus() as bus, screen() as display:
        async with host(bus, has_toasts=False) as desk:
            env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1", "PATH": path}
            program = Program(rig, env)
            try:
                tray = await desk.tray()
                await until_look(tray, "down")
                await until_entry(tray, "Quit")
                yield Shown(rig, program, tray, display, bus)
            finally:
                await program.end()


@asynccontextmanager
async def daemon(shown: Shown) -> AsyncIterator[Dunst]:
    """A real daemon for it."""
    require(installed)
    async with dunst(shown.program.paths.root, shown.display, shown.bus) as found:
        yield found


async def test_a_real_daemon_shows_what_was_asked_for(shown: Shown) -> None:
    async with daemon(shown) as dunst:
        await shown.tray.click("About Aura Ollama")
        assert "Data in" in (await dunst.toast("Aura Ollama")).text
        assert WINDOW not in windows(shown.display)


async def test_a_failure_is_critical_has_our_icon_and_a_button_and_a_click_opens_its_log(shown: Shown) -> None:
    async with daemon(shown) as dunst:
        await shown.tray.click("Start Ollama")
        started = await dunst.request("Ollama Started")
        assert (started.urgency, started.actions) == (desktop.Urgency.LOW, ("default", "Open"))
        psutil.Process(shown.rig.record.pid).kill()
        failed = await dunst.request("Ollama Crashed")
        assert failed.urgency == desktop.Urgency.CRITICAL
        assert failed.actions == ("default", "Open", "open", "Open log")
        assert failed.icon == icons.path("failed", 64).as_uri()
        # One stands on the screen, however many there were.
        assert failed.replaces != 0
        assert await dunst.count() == 1
        await dunst.click()
        await wait_for(shown.opened.exists)
        (log,) = shown.opened.read_text().splitlines()
        assert Path(log).parent == shown.rig.paths.logs
        assert "exit code -9" in Path(log).read_text()


async def test_a_daemon_without_buttons_is_sent_none(shown: Shown) -> None:
    async with host(shown.bus, has_tray=False) as desk:
        await shown.tray.click("Start Ollama")
        await desk.toast("Ollama Started")
        assert desk.actions == [[]]


async def test_what_no_daemon_shows_a_window_does_with_the_same_button(shown: Shown) -> None:
    await shown.tray.click("Start Ollama")
    await until_look(shown.tray, "up")
    psutil.Process(shown.rig.record.pid).kill()
    await wait_for(lambda: WINDOW in windows(shown.display))
    connection = Xlib.display.Display(shown.display)
    try:
        # From Close, which has the keyboard, one back to Open log.
        focus(connection, WINDOW)
        press_key(connection, "Left")
        press_key(connection, "Return")
    finally:
        connection.close()
    await wait_for(shown.opened.exists)
    await wait_for(lambda: WINDOW not in windows(shown.display))


async def test_a_daemon_that_hangs_holds_up_nothing_and_gets_the_newest_only(shown: Shown) -> None:
    url = await shown.program.url()
    async with daemon(shown) as dunst:
        dunst.process.suspend()
        for _ in range(7):
            await shown.tray.click("Show status")
            began = time.monotonic()
            assert (await asyncio.to_thread(call, "GET", f"{url}/api/ollama/status")).status == 200
            assert time.monotonic() - began < 1.0
        await shown.tray.click("About Aura Ollama")
        # What the daemon does not take in 2 s goes to the window.
        await wait_for(lambda: WINDOW in windows(shown.display))
        dunst.process.resume()
        await shown.tray.click("Show status")
        await dunst.toast("Aura Ollama")


async def test_without_a_daemon_a_window_says_what_was_asked_for_and_no_mere_news(shown: Shown) -> None:
    await shown.tray.click("Start Ollama")
    await until_look(shown.tray, "up")
    await shown.tray.click("Stop Ollama")
    await until_look(shown.tray, "down")
    assert WINDOW not in windows(shown.display)
    for _ in range(2):
        await shown.tray.click("About Aura Ollama")
        await wait_for(lambda: windows(shown.display).count(WINDOW) == 1)
