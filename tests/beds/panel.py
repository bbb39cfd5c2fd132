"""A panel with a place for icons on a screen of the tests' own, and what a person would see there."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import Xlib.display
import Xlib.error
import Xlib.ext.xtest
import Xlib.protocol.event
import Xlib.X
import Xlib.Xatom
import Xlib.XK
from PIL import Image, ImageGrab

from tests.beds.screen import program

GREEN, RED = (0x34, 0xC7, 0x59), (0xFF, 0x3B, 0x30)
_PANEL = ["--edge", "bottom", "--align", "right", "--widthtype", "pixel", "--width", "160", "--height", "32"]
# The smallest icon that a panel shows has 16 × 16 pixels, scaled smoothly.
_ICON_PIXELS = 50
_TOLERANCE = 12
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the screen."""


@contextmanager
def panel(display: str) -> Iterator[None]:
    """A panel at the lower right of the screen. Raises BedMissing."""
    command = [program("trayer", "trayer"), *_PANEL, "--expand", "false"]
    with subprocess.Popen(command, env=os.environ | {"DISPLAY": display}, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_place(display)
            yield
        finally:
            process.terminate()


def _wait_for_place(display: str) -> None:
    """Return once the panel takes icons; one that comes before is not taken in."""
    connection = Xlib.display.Display(display)
    try:
        place = connection.intern_atom("_NET_SYSTEM_TRAY_S0")
        deadline = time.monotonic() + 10
        while connection.get_selection_owner(place) == Xlib.X.NONE:
            if time.monotonic() > deadline:
                raise RuntimeError("the panel does not take icons")
            time.sleep(0.02)
    finally:
        connection.close()


def seen(display: str) -> Image.Image:
    """The whole screen as it is now."""
    return ImageGrab.grab(xdisplay=display).convert("RGB")


def shows(display: str, colour: tuple[int, int, int]) -> bool:
    """Whether a good part of an icon's worth of pixels on the screen has that colour, or as good as."""
    near = 0
    for count, pixel in seen(display).getcolors(1 << 24) or []:
        if isinstance(pixel, tuple) and max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= _TOLERANCE:
            near += count
    return near >= _ICON_PIXELS


def windows(display: str) -> list[str]:
    """The titles of the windows that stand on the screen, where no window manager puts them into frames."""
    connection = Xlib.display.Display(display)
    try:
        return [name for window in connection.screen().root.query_tree().children if (name := _title(window))]
    finally:
        connection.close()


def menus(connection: Xlib.display.Display) -> list[Box]:
    """Where the menus, a menu and its submenus, are on the screen."""
    kinds = {connection.intern_atom(f"_NET_WM_WINDOW_TYPE_{name}_MENU") for name in ("POPUP", "DROPDOWN")}
    kind = connection.intern_atom("_NET_WM_WINDOW_TYPE")
    boxes = []
    for window in connection.screen().root.query_tree().children:
        try:
            found = window.get_full_property(kind, Xlib.Xatom.ATOM)
            is_seen = window.get_attributes().map_state == Xlib.X.IsViewable
            if found and is_seen and kinds.intersection(found.value):
                shape = window.get_geometry()
                boxes.append((shape.x, shape.y, shape.x + shape.width, shape.y + shape.height))
        except Xlib.error.XError:
            # It went away between the list and the look.
            continue
    return boxes


def close_window(display: str, title: str) -> None:
    """Ask the window with that title to close, as a window manager does for a click on its cross."""
    connection = Xlib.display.Display(display)
    try:
        protocols, delete = map(connection.intern_atom, ("WM_PROTOCOLS", "WM_DELETE_WINDOW"))
        for window in connection.screen().root.query_tree().children:
            if _title(window) == title:
                message = Xlib.protocol.event.ClientMessage(
                    window=window, client_type=protocols, data=(32, [delete, Xlib.X.CurrentTime, 0, 0, 0])
                )
                window.send_event(message)
        connection.sync()
    finally:
        connection.close()


def focus(connection: Xlib.display.Display, title: str) -> None:
    """Give the keyboard to the window with that title, as a window manager does for a click on it."""
    for window in connection.screen().root.query_tree().children:
        if _title(window) == title:
            window.set_input_focus(Xlib.X.RevertToParent, Xlib.X.CurrentTime)
    connection.sync()


def click(display: str, colour: tuple[int, int, int], button: int) -> None:
    """Click with a mouse button in the midst of all that has that colour."""
    image = seen(display)
    near = [
        (x, y)
        for x in range(image.width)
        for y in range(image.height)
        if max(abs(a - b) for a, b in zip(image.getpixel((x, y)), colour, strict=True)) <= _TOLERANCE  # type: ignore[arg-type]
    ]
    connection = Xlib.display.Display(display)
    try:
        x, y = (sum(each) // len(near) for each in zip(*near, strict=True))
        press_button(connection, x, y, button)
    finally:
        connection.close()


def point(connection: Xlib.display.Display, x: int, y: int) -> None:
    """Move the mouse there."""
    Xlib.ext.xtest.fake_input(connection, Xlib.X.MotionNotify, x=x, y=y)
    connection.sync()


def press_button(connection: Xlib.display.Display, x: int, y: int, button: int = 1) -> None:
    """Move the mouse there and press a button of it."""
    point(connection, x, y)
    _press(connection, Xlib.X.ButtonPress, Xlib.X.ButtonRelease, button)


def press_key(connection: Xlib.display.Display, name: str) -> None:
    """Press a key of the keyboard, by its X name."""
    code = connection.keysym_to_keycode(Xlib.XK.string_to_keysym(name))
    _press(connection, Xlib.X.KeyPress, Xlib.X.KeyRelease, code)


def _press(connection: Xlib.display.Display, down: int, up: int, detail: int) -> None:
    for kind in (down, up):
        Xlib.ext.xtest.fake_input(connection, kind, detail)
    connection.sync()


def _title(window: Any) -> str | None:
    try:
        is_seen = window.get_attributes().map_state == Xlib.X.IsViewable
        return str(window.get_wm_name() or "") if is_seen else None
    except Xlib.error.XError:
        # It went away between the list and the look.
        return None
