"""Xfce's real panel with its Status Tray Plugin, and a person's mouse and keyboard on it.

The plugin is a process of its own (`wrapper-2.0`), which the panel starts anew after a crash; each crash is one line
on the panel's stderr.
"""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import Xlib.display
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from PIL import Image

from tests.beds import BedMissing
from tests.beds.desktop import DEADLINE, Entry, Tray, session_bus
from tests.beds.panel import menus, point, press_button, press_key, seen
from tests.beds.screen import program, screen

_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"""
_XFCONF = Path("/usr/share/dbus-1/services/org.xfce.Xfconf.service")
_WATCHER = "org.kde.StatusNotifierWatcher"
_COMPLAINT = re.compile(r"CRITICAL|WARNING.*(invalid|assert)|crash|removed unexpectedly", re.IGNORECASE)
# The icon's place: the panel is at the top left, and its only plugin begins at its left end.
_ICON = (11, 16)
# The panel itself has two or three.
_ICON_COLOURS = 12
_LEAST_ENTRY_PIXELS = 20


class Xfce:
    """A screen with the panel on it. Everything here blocks for some milliseconds."""

    def __init__(self, display: str, bus: MessageBus, address: str, said: Path, scale: int) -> None:
        self.env = {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": address, "NO_AT_BRIDGE": "1", "GDK_BACKEND": "x11"}
        self._display = display
        self._scale = scale
        self._bus = bus
        self._said = said
        self._screen = Xlib.display.Display(display)

    async def until_ready(self) -> None:
        """Return once the panel takes icons."""
        await _until(self._is_ready)

    async def tray(self) -> Tray:
        """The icon in the panel, once there is one."""
        found: list[str] = []

        async def is_there() -> bool:
            found[:] = await self._registered()
            return bool(found)

        await _until(is_there)
        await _until(self._is_icon_shown)
        name, slash, path = found[-1].partition("/")
        return Tray(self._bus, name, slash + path)

    async def _is_ready(self) -> bool:
        return await self._property("IsStatusNotifierHostRegistered") is True

    def _is_icon_shown(self) -> bool:
        return len(self.icon().getcolors(1 << 24) or []) >= _ICON_COLOURS

    def icon(self) -> Image.Image:
        """The icon as it is on the screen, on its piece of the panel."""
        x, y = (2 * side * self._scale for side in _ICON)
        return seen(self._display).crop((0, 0, x + 2 * self._scale, y))

    def point_away(self) -> None:
        """Move the mouse to where nothing is."""
        shape = self._screen.screen()
        point(self._screen, shape.width_in_pixels - 1, shape.height_in_pixels - 1)

    def menu(self) -> Image.Image:
        """The open menu as it is on the screen."""
        return seen(self._display).crop(menus(self._screen)[0])

    async def _registered(self) -> list[str]:
        return await self._property("RegisteredStatusNotifierItems") or []

    async def _property(self, name: str) -> Any:
        """The watcher's property, or None while there is no watcher."""
        call = Message(
            _WATCHER,
            "/StatusNotifierWatcher",
            "org.freedesktop.DBus.Properties",
            "Get",
            signature="ss",
            body=[_WATCHER, name],
        )
        answer = await self._bus.call(call)
        assert answer is not None
        return answer.body[0].value if answer.message_type is MessageType.METHOD_RETURN else None

    @property
    def complaints(self) -> list[str]:
        """What the panel and its plugin said that tells of a crash, or of one that was near."""
        return [line for line in self._said.read_text(errors="replace").splitlines() if _COMPLAINT.search(line)]

    def is_menu_open(self) -> bool:
        """Whether a menu of the panel's is on the screen."""
        return bool(self._menus())

    async def open_menu(self, tray: Tray) -> None:
        """Click the icon, and return once its menu is there with all its entries: the panel asks for them late."""
        entries = [entry for entry in (await tray.menu()).children if not entry.is_separator]
        x, y = (side * self._scale for side in _ICON)
        press_button(self._screen, x, y)
        await _until(lambda: sum(self._menus()) > len(entries) * _LEAST_ENTRY_PIXELS)

    async def close_menu(self) -> None:
        """Leave the menu by the keyboard."""
        while self.is_menu_open():
            press_key(self._screen, "Escape")
            await asyncio.sleep(0.02)

    async def click(self, tray: Tray, *labels: str) -> None:
        """Once the entry can be chosen, open the menu and choose it by the keyboard, one label's beginning a level."""

        found: list[Entry] = []

        async def is_enabled() -> bool:
            found[:] = [await tray.menu()]
            try:
                return found[0].find(*labels).enabled
            except LookupError:
                return False

        while True:
            await _until(is_enabled)
            (menu,) = found
            await self.open_menu(tray)
            await self._walk_to(menu, *labels)
            if await tray.menu() == menu:
                break
            # It changed under our keys, which may have led elsewhere.
            await self.close_menu()
        press_key(self._screen, "Return")
        await _until(lambda: not self.is_menu_open())

    async def _walk_to(self, level: Entry, *labels: str) -> None:
        for depth, label in enumerate(labels):
            entry = level.find(label)
            choice = [each for each in level.children if each.enabled and not each.is_separator]
            # The first entry of a submenu is chosen as it opens.
            for _ in range(choice.index(entry) + (depth == 0)):
                press_key(self._screen, "Down")
            level = entry
            if depth + 1 < len(labels):
                press_key(self._screen, "Right")
                await _until(lambda levels=depth + 1: len(self._menus()) > levels)  # type: ignore[misc]

    def close(self) -> None:
        """Let go of the screen."""
        self._screen.close()

    def _menus(self) -> list[int]:
        """The height of each menu."""
        return [bottom - top for _, top, _, bottom in menus(self._screen)]


async def _until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not (await found if isinstance(found := holds(), Awaitable) else found):
        if time.monotonic() > deadline:
            raise TimeoutError("the panel did not do it")
        await asyncio.sleep(0.01)


def installed() -> str:
    """The path of the panel. Raises BedMissing also if something is missing that it needs."""
    if not _XFCONF.exists():
        raise BedMissing(f"{_XFCONF} is missing (Debian: xfconf)")
    program("Xvfb", "xvfb")
    program("dbus-daemon", "dbus")
    return program("xfce4-panel", "xfce4-panel")


@asynccontextmanager
async def xfce(root: Path, *, scale: int = 1, theme: str = "Adwaita") -> AsyncIterator[Xfce]:
    """A screen and a bus with the panel; its settings and what it says are below `root`. Raises BedMissing.

    `scale`: how many pixels of the screen are one of the desktop's. `theme` is GTK's, for the panel and its menus.
    """
    found = installed()
    settings = root / "config" / "xfce4" / "xfconf" / "xfce-perchannel-xml" / "xfce4-panel.xml"
    settings.parent.mkdir(parents=True)
    settings.write_text(_SETTINGS)
    own = {"HOME": str(root), "XDG_CONFIG_HOME": str(root / "config"), "XDG_CACHE_HOME": str(root / "cache")}
    service = configparser.ConfigParser(interpolation=None)
    service.read(_XFCONF)
    xfconf = service["D-BUS Service"]["Exec"]
    with (
        screen(f"{1024 * scale}x{768 * scale}x24") as display,
        session_bus({"org.xfce.Xfconf": xfconf}, own) as address,
    ):
        env = os.environ | own | {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": address, "NO_AT_BRIDGE": "1"}
        env |= {"GDK_SCALE": str(scale), "GTK_THEME": theme}
        said = root / "panel.txt"
        with said.open("wb") as output:
            panel = await asyncio.create_subprocess_exec(
                found, "--disable-wm-check", env=env, stdout=output, stderr=output
            )
        bus = await MessageBus(bus_address=address).connect()
        desk = Xfce(display, bus, address, said, scale)
        try:
            await desk.until_ready()
            yield desk
        finally:
            desk.close()
            bus.disconnect()
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            panel.terminate()
            await panel.wait()
