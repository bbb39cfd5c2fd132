"""What a person sees: pixels on a real X screen, with a real panel."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import Xlib.display

from core.ollama.models import Model
from core.supervision.state import State
from tests.beds.desktop import host, session_bus
from tests.beds.ollama import ollama
from tests.beds.panel import GREEN, RED, click, menus, panel, press_key, shows
from tests.beds.require import require
from tests.beds.screen import screen
from tests.beds.wire import call
from tests.rig import Rig
from tests.tray.program import Program, change, wait_for, wishes
from tests.tray.test_menu import shown

pytestmark = pytest.mark.timeout(40)  # a screen, a panel and a program start one after the other


async def test_a_toolkit_that_shows_nothing_leaves_the_sidecar_serving(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    with screen() as display:
        program = Program(rig, {"DISPLAY": display, "PYSTRAY_BACKEND": "dummy"})
        try:
            url = await program.url()
            await wait_for(lambda: "Running without a tray." in program.said)
            assert (await asyncio.to_thread(call, "GET", f"{url}/healthz")).status == 200
        finally:
            await program.end()
        assert program.process.returncode == 0


@pytest.mark.parametrize("backend", ["appindicator", "gtk"])
async def test_the_icon_needs_no_session_bus(tmp_path: Path, backend: str) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    with screen() as display, panel(display):
        program = Program(
            rig, {"DISPLAY": display, "PYSTRAY_BACKEND": backend, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
        )
        try:
            await wait_for(lambda: shows(display, RED))
        finally:
            await program.end()
        assert program.process.returncode == 0


async def test_quitting_needs_no_place_for_toasts(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    with session_bus() as bus, screen() as display, panel(display):
        program = Program(rig, {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "PYSTRAY_BACKEND": "gtk"})
        try:
            await wait_for(lambda: shows(display, RED))
            url = await program.url()
            await asyncio.to_thread(call, "POST", f"{url}/api/ollama/start", timeout=20)
            await wait_for(lambda: shows(display, GREEN))
        finally:
            await program.end()
        assert program.process.returncode == 0
        assert "Traceback" not in program.said


@pytest.mark.parametrize("backend", ["xorg", "gtk"])
async def test_the_icon_on_the_screen_is_red_until_an_ollama_answers_and_green_then(
    tmp_path: Path, backend: str
) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    with session_bus() as bus, screen() as display, panel(display):
        env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "PYSTRAY_BACKEND": backend}
        async with host(bus):
            program = Program(rig, env)
            try:
                await wait_for(lambda: shows(display, RED))
                assert not shows(display, GREEN)
                url = await program.url()
                await asyncio.to_thread(call, "POST", f"{url}/api/ollama/start", timeout=20)
                await wait_for(lambda: shows(display, GREEN))
                assert not shows(display, RED)
                await asyncio.to_thread(call, "POST", f"{url}/api/ollama/stop", timeout=20)
                await wait_for(lambda: shows(display, RED))
            finally:
                await program.end()


@pytest.mark.parametrize("loaded", [(), ("نموذج:8b",)])
def test_gtk_writes_a_line_that_begins_with_a_name_from_right_to_left_from_left_to_right(
    loaded: tuple[str, ...],
) -> None:
    model = Model("نموذج:8b", 1)
    row = shown(State.RUNNING, models=(model,), loaded=loaded).find("models", f"model {model.name}")
    # In a process of its own: the bindings warn as they are imported.
    ask = (
        "import sys; from gi.repository import Pango\n"
        "print(*[Pango.find_base_dir(text, -1).value_nick for text in sys.argv[1:]])"
    )
    command = [sys.executable, "-c", ask, model.name, row.label]
    told = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert told.stdout.split() == ["rtl", "ltr"], told.stderr


@pytest.mark.parametrize(("backend", "button"), [("appindicator", 1), ("gtk", 3)])
async def test_a_menu_that_is_open_on_the_screen_stays_and_gets_its_new_entries_once_it_is_closed(
    backend: str, button: int
) -> None:
    """Where no host shows it, GTK itself does."""
    with session_bus() as bus, screen("1024x768x24") as display, panel(display):
        env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "PYSTRAY_BACKEND": backend, "NO_AT_BRIDGE": "1"}
        connection = Xlib.display.Display(display)
        with wishes(env, models=3) as icon, closing(connection):
            await wait_for(lambda: shows(display, RED))
            click(display, RED, button)
            await wait_for(lambda: len(menus(connection)) == 1)
            (height,) = menus(connection)
            change(icon, "1.0", problem="line 3: no comma")
            await wait_for(lambda: shows(display, GREEN))
            assert menus(connection) == [height]
            press_key(connection, "Escape")
            await wait_for(lambda: menus(connection) == [])
            click(display, GREEN, button)
            await wait_for(lambda: len(menus(connection)) == 1 and menus(connection)[0] > height)
            press_key(connection, "Escape")
