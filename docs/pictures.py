"""Makes the README's pictures: the real program, its icon and menu on a real screen. `python -m docs.pictures`.

Needs what `./dev test` installs. The screen is Xvfb, the panel is trayer, the clicks are xdotool's. With `windows` as
its argument it makes that of the Windows program instead, under the Wine that `tests.beds.wine` finds.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from core.supervision.state import State, Status
from tests.beds.desktop import host, session_bus
from tests.beds.ollama import ollama
from tests.beds.panel import GREEN, RED, panel, seen, shows
from tests.beds.screen import program, screen
from tests.beds.wine import wine
from tests.beds.wire import call
from tests.rig import Rig
from tests.tray.program import Program, wait_for
from tests.tray.wine_tray import SIZE, WindowsProgram, desk, open_menu, until_menu, windows_rig
from tray.menu import Facts, view

FOLDER = Path(__file__).parent
_ICON = (592, 448, 640, 480)
_MENU = (330, 90, 640, 480)
_MODELS = [item.name for item in view(Facts(Status(State.RUNNING))).items].index("models")
"""Which line of the menu opens the models."""


async def take(folder: Path) -> None:
    """Write `tray-down.png`, `tray-up.png` and `tray-menu.png` into `folder`."""
    with tempfile.TemporaryDirectory() as root, session_bus() as bus, screen() as display, panel(display):
        rig = Rig(Path(root), ollama().executable).with_model()
        env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus, "PYSTRAY_BACKEND": "gtk", "NO_AT_BRIDGE": "1"}
        async with host(bus):
            shown = Program(rig, env)
            try:
                await wait_for(lambda: shows(display, RED))
                seen(display).crop(_ICON).resize((96, 64), Image.Resampling.LANCZOS).save(folder / "tray-down.png")
                url = await shown.url()
                await asyncio.to_thread(call, "POST", f"{url}/api/ollama/start", timeout=20)
                await rig.generate()
                await wait_for(lambda: shows(display, GREEN))
                seen(display).crop(_ICON).resize((96, 64), Image.Resampling.LANCZOS).save(folder / "tray-up.png")
                await asyncio.to_thread(_open_menu, display)
                seen(display).crop(_MENU).save(folder / "tray-menu.png", optimize=True)
            finally:
                await shown.end()


async def take_windows(folder: Path) -> None:
    """Write `tray-windows.png` into `folder`."""
    with tempfile.TemporaryDirectory() as root, wine() as bed, desk(bed) as windows:
        rig = windows_rig(Path(root), windows.wine)
        shown = WindowsProgram(rig, windows)
        try:
            url = await shown.url()
            await asyncio.to_thread(call, "POST", f"{url}/api/ollama/start", timeout=30)
            await rig.generate()
            await windows.balloon("answers at")
            menu = await open_menu(windows, GREEN)
            windows.click(menu.place(_MODELS), 1)
            models = await until_menu(windows, count=2)
            left, *_ = models.box
            image = seen(windows.display).crop((left - 8, menu.box[1] - 8, *SIZE))
            image.save(folder / "tray-windows.png", optimize=True)
            windows.press("Escape", "Escape")
        finally:
            await shown.end()


def _open_menu(display: str) -> None:
    pixels = seen(display).load()
    if pixels is None:
        raise RuntimeError("the screen cannot be read")
    x, y = next((x, y) for x in range(480, 640) for y in range(448, 480) if pixels[x, y] == GREEN)
    env = os.environ | {"DISPLAY": display}
    subprocess.run(
        [program("xdotool", "xdotool"), "mousemove", str(x + 4), str(y + 4), "click", "3"], env=env, check=True
    )
    before = seen(display).tobytes()
    deadline = time.monotonic() + 5
    # The menu is there once the screen has changed and then stays as it is.
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = seen(display).tobytes()
        if now == before:
            return
        before = now


if __name__ == "__main__":
    asyncio.run(take_windows(FOLDER) if sys.argv[1:] == ["windows"] else take(FOLDER))
