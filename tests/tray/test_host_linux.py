"""Who shows the icon, and when: hosts that come late, programs that find another one there, a screen that goes away."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.beds.desktop import Tray, host, session_bus
from tests.beds.ollama import ollama
from tests.beds.panel import RED, close_window, panel, shows, windows
from tests.beds.require import require
from tests.beds.screen import compositor, screen
from tests.beds.wire import call
from tests.rig import Rig
from tests.tray.program import Program, desktop, running, until_entry, until_look, wait_for

# Longer than a toolkit that hangs may hold up the end: `tray.__main__`.
READING_SECONDS = 4.0

pytestmark = pytest.mark.timeout(40)  # a program with GTK starts several times, on two busy cores


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The real Ollama."""
    return Rig(tmp_path, require(ollama).executable)


async def second(rig: Rig, env: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The exit code of another start, and what it said."""
    other = Program(rig, env, *arguments, into="second.txt")
    try:
        return await other.ended(within=10), other.said
    finally:
        await other.end()


async def test_a_host_that_comes_late_gets_the_icon_and_until_then_a_second_start_says_why_there_is_none(
    rig: Rig,
) -> None:
    with session_bus() as bus, screen() as display:
        env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1"}
        first = Program(rig, env)
        try:
            url = await first.url()
            shown = await asyncio.to_thread(call, "POST", f"{url}/api/app/show", {})
            assert shown.json["shown"] is False
            code, said = await second(rig, {})
            assert (code, f"already running at {url}. Nothing on this desktop shows tray icons" in said) == (1, True)
            async with host(bus) as desk:
                tray = await desk.tray()
                await until_entry(tray, "Ollama is not running")
                assert (await second(rig, env))[0] == 0
            # And when the host is restarted.
            async with host(bus) as desk:
                await until_entry(await desk.tray(), "Ollama is not running")
        finally:
            await first.end()


async def test_an_x11_tray_that_comes_late_gets_the_icon(rig: Rig) -> None:
    with session_bus() as bus, screen() as display:
        first = Program(rig, {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1"})
        try:
            await first.url()
            with panel(display):
                await wait_for(lambda: shows(display, RED))
        finally:
            await first.end()


async def test_a_second_start_of_one_that_has_no_icon_says_so(rig: Rig) -> None:
    first = Program(rig, {}, "--headless")
    try:
        await first.url()
        # One that wants no icon itself has what it wants.
        for expected, options in ((1, []), (0, ["--headless"])):
            code, said = await second(rig, {}, *options)
            assert (code, said.rpartition(". ")[2].strip()) == (expected, "It was started with --headless.")
    finally:
        await first.end()


async def test_a_second_start_shows_no_icon_of_its_own(rig: Rig) -> None:
    async with desktop() as desk, running(rig, desk) as (first, _):
        await first.url()
        desk.host.forget_trays()
        assert (await second(rig, desk.env))[0] == 0
        assert desk.host.trays.empty()


async def test_on_a_port_that_is_taken_it_says_so_in_a_toast_and_shows_no_icon(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with desktop() as desk:
            port = str(taken.getsockname()[1])
            code, said = await second(rig, desk.env, "--port", port)
            assert (code, port in said) == (1, True)
            assert port in (await desk.host.toast("Aura Ollama")).text
            assert desk.host.trays.empty()


async def test_without_a_place_for_toasts_it_says_so_in_a_window_that_can_be_closed(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, session_bus() as bus, screen() as display:
        env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1"}
        other = Program(rig, env, "--port", str(taken.getsockname()[1]))
        try:
            await wait_for(lambda: "Aura Ollama" in windows(display))
            # It is there to be read.
            with pytest.raises(TimeoutError):
                await other.ended(within=READING_SECONDS)
            close_window(display, "Aura Ollama")
            assert await other.ended(within=5) == 1
        finally:
            await other.end()


@contextmanager
def x_screen(_: Path) -> Iterator[dict[str, str]]:
    """An X server; yields the environment of its programs."""
    with screen() as display:
        yield {"DISPLAY": display}


@pytest.mark.parametrize("make", [x_screen, compositor])
async def test_a_screen_that_goes_away_is_a_session_that_ends(
    rig: Rig, make: Callable[[Path], AbstractContextManager[dict[str, str]]]
) -> None:
    with session_bus() as bus:
        desktop_on = make(rig.root / "runtime")
        env = require(desktop_on.__enter__) | {"DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1"}
        async with host(bus) as desk:
            first = Program(rig, env)
            try:
                tray = await desk.tray()
                await tray.click("Start Ollama")
                await until_look(tray, "up")
                desktop_on.__exit__(None, None, None)
                assert await first.ended(within=5) == 0, first.said
                assert not rig.is_listening
            finally:
                await first.end()


@pytest.mark.parametrize("service", ["/bin/false", f"{sys.executable} -c 'import time; time.sleep(60)'"])
async def test_a_notification_service_that_fails_or_hangs_as_it_starts_costs_nothing_of_the_icon(
    rig: Rig, service: str
) -> None:
    with session_bus({"org.freedesktop.Notifications": service}) as bus, screen() as display:
        # The host of the bed would be the notification service as well.
        async with host(bus, has_toasts=False) as desk:
            first = Program(rig, {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "NO_AT_BRIDGE": "1"})
            try:
                await until_look(await desk.tray(), "down")
            finally:
                await first.end()


async def test_the_icon_leaves_no_file_behind_though_it_is_killed(rig: Rig) -> None:
    folder = rig.root / "tmp"
    folder.mkdir()
    async with desktop() as desk:
        desk.env["TMPDIR"] = str(folder)
        async with running(rig, desk) as (first, tray):
            await until_look(tray, "down")
            first.process.kill()
            await first.ended(within=5)
    assert list(folder.iterdir()) == []


async def test_a_screen_reader_is_told_what_the_icon_shows(rig: Rig) -> None:
    async with desktop() as desk, running(rig, desk) as (_, tray):
        await until_description(tray, "Aura Ollama: Ollama is not running")
        await tray.click("Start Ollama")
        await until_description(tray, "Aura Ollama: Ollama 0.9.3 is running")


async def until_description(tray: Tray, beginning: str) -> None:
    """Return once what a screen reader reads out begins so."""
    async with asyncio.timeout(10):
        while not (await tray.properties())["IconAccessibleDesc"].startswith(beginning):
            await asyncio.sleep(0.02)
