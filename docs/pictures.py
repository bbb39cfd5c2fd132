"""Makes the README's pictures: the real program, its icon and menu on a real screen. `python -m docs.pictures`.

Needs what `./dev test` installs. The screen is Xvfb, the panel is Xfce's, and Ollama is a real one. With `windows` as
its argument it makes that of the Windows program instead, under the Wine that `tests.beds.wine` finds; with `page`
those of the page and of the terminal.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
from PIL import Image

from core.supervision.state import State, Status
from icons import LOOKS
from tests import fake_ollama
from tests.beds.desktop import Tray
from tests.beds.ollama import ollama
from tests.beds.panel import GREEN, seen
from tests.beds.server import OllamaServer
from tests.beds.wine import wine
from tests.beds.wire import call
from tests.beds.xfce import xfce
from tests.rig import Rig
from tests.tray.program import Program, until_entry
from tests.tray.wine_tray import SIZE, WindowsProgram, desk, open_menu, until_menu, windows_rig
from tray.menu import Facts, view

FOLDER = Path(__file__).parent
THEMES = {"Adwaita": "light", "Adwaita:dark": "dark"}
SCALES = {1: "", 2: "-2x"}
MENUS = {
    "running": "Restart Ollama",
    "stopped": "Start Ollama",
    "external": "How to stop it…",
    "failed": "What went wrong…",
}
"""The states in which the menu is shown, from left to right, and an entry that it has then."""
_GAP = 12
_COLOURS = 256
_MOST_SECONDS = 60.0
_STILL_SECONDS = 0.5
_MODELS = [item.name for item in view(Facts(Status(State.RUNNING))).items].index("models")
"""Which line of the menu opens the models."""


async def take(folder: Path) -> None:
    """Write the icons of all looks, `looks-*.png`, and the menu in four states, `menus-*.png`, into `folder`.

    Each light and dark, and at the usual scale and, `-2x`, at twice that.
    """
    for theme, name in THEMES.items():
        for scale, ending in SCALES.items():
            with tempfile.TemporaryDirectory() as root:
                looks, menus = await _pictures(Path(root), scale, theme)
            _side_by_side([looks[look] for look in LOOKS], gap=0).save(folder / f"looks-{name}{ending}.png")
            sheet = _side_by_side([menus[state] for state in MENUS], gap=_GAP * scale)
            sheet.quantize(_COLOURS).save(folder / f"menus-{name}{ending}.png", optimize=True)


async def _pictures(root: Path, scale: int, theme: str) -> tuple[dict[str, Image.Image], dict[str, Image.Image]]:
    """The icon by its look and the menu by its state, of the real program in Xfce's panel."""
    looks: dict[str, Image.Image] = {}
    menus: dict[str, Image.Image] = {}
    async with xfce(root / "desk", scale=scale, theme=theme) as desk:
        rig = Rig(root, ollama().executable).with_model()
        shown = Program(rig, desk.env)

        async def look(name: str, state: str | None = None) -> None:
            await _until(lambda: _has_look(tray, name))
            # What the mouse is on is drawn lighter.
            desk.point_away()
            looks[name] = await _settled(desk.icon)
            if state:
                await _until(lambda: _has_entry(tray, MENUS[state]))
                await desk.open_menu(tray)
                menus[state] = await _settled(desk.menu)
                await desk.close_menu()

        async def start() -> None:
            await asyncio.to_thread(call, "POST", f"{await shown.url()}/api/ollama/start", timeout=60)

        async def stop() -> None:
            await asyncio.to_thread(call, "POST", f"{await shown.url()}/api/ollama/stop", timeout=60)

        try:
            tray = await desk.tray()
            await look("down", "stopped")
            with OllamaServer(root / "theirs", executable=rig.executable, port=rig.port):
                await look("external", "external")
            await _until(lambda: _has_look(tray, "down"))
            await start()
            await rig.generate()
            await until_entry(tray, "Ollama 0.9.3 is running")
            await look("up", "running")
            server = psutil.Process(rig.record.pid)
            server.suspend()
            await look("trouble")
            server.resume()
            await stop()
            rig.configure(env={"HOME": str(root), "OLLAMA_MODELS": "/dev/null/models"})
            await start()
            await look("failed", "failed")
            rig.configure(executable=fake_ollama.install(root / "slow", FAKE_LISTEN_AFTER="30"))
            starting = asyncio.create_task(start())
            await look("busy")
            await stop()
            await starting
        finally:
            await shown.end()
    return looks, menus


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds. A hang is noticed after some seconds, and entries come some seconds after a click."""
    deadline = time.monotonic() + _MOST_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the tray does not show it")
        await asyncio.sleep(0.05)


async def _has_entry(tray: Tray, label: str) -> bool:
    return label in [entry.label for entry in (await tray.menu()).children]


async def _has_look(tray: Tray, name: str) -> bool:
    return Path((await tray.properties())["IconName"]).name.rpartition("-")[0] == name


async def _settled(picture: Callable[[], Image.Image]) -> Image.Image:
    """The picture, once it has stayed as it is for half a second."""
    image, since = picture(), time.monotonic()
    while time.monotonic() < since + _STILL_SECONDS:
        await asyncio.sleep(0.05)
        if (newer := picture()).tobytes() != image.tobytes():
            image, since = newer, time.monotonic()
    return image


def _side_by_side(images: Sequence[Image.Image], gap: int) -> Image.Image:
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    sheet = Image.new("RGBA", (width, max(image.height for image in images)))
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return sheet


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


if __name__ == "__main__":
    if sys.argv[1:] == ["page"]:
        from docs import page_pictures

        page_pictures.take(FOLDER)
    else:
        asyncio.run(take_windows(FOLDER) if sys.argv[1:] == ["windows"] else take(FOLDER))
