"""The icon on the screen: the only importer of pystray. A view comes in from any thread, a command goes out.

pystray belongs to the main thread. Each backend has its own way to get there: GLib's idle queue, a window message on
Windows, the Cocoa main queue on macOS. Only `run` blocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

import icons
from tray.menu import SEPARATOR, Command, Item, View

log = logging.getLogger(__name__)

PAINT_SECONDS = 0.1
_SIZE = 64


class NoTray(Exception):
    """There is nowhere to show an icon with a menu; the message says why."""


def load(*, forced: bool) -> ModuleType:
    """pystray with a backend that works here. Raises NoTray, also for the backend without menus unless `forced`.

    Importing pystray connects to the display, so it may fail in many ways: python-xlib's DisplayNameError is no
    ImportError, for one.
    """
    try:
        import pystray
    except Exception as error:
        raise NoTray(f"no tray can be shown here ({type(error).__name__}: {error})") from error
    if not pystray.Icon.HAS_MENU and not forced:
        raise NoTray("the only tray here shows no menus; install the AppIndicator bindings (python3-gi, gir1.2-…)")
    backend: ModuleType = pystray
    return backend


class TrayIcon:
    """One icon. Make it, and `run` it, on the main thread."""

    def __init__(
        self,
        pystray: ModuleType,
        view: View,
        on_command: Callable[[Command], None],
        on_appeared: Callable[[], None],
        on_close: Callable[[bool], None],
    ) -> None:
        """All three are called on the UI's thread. `on_command` and `on_appeared` must return at once.

        `on_close` is for Windows: the system asks for an end. With True the session ends as well, and the program with
        it as soon as `on_close` has returned.
        """
        self._pystray = pystray
        self._on_appeared = on_appeared
        self._on_command = on_command
        self._shown: View | None = None
        self._newest = view
        self._changed = threading.Condition()
        self._is_over = False
        self._backend = pystray.Icon.__module__.rpartition(".")[2]
        self._icon: Any = self._make(on_close)("aura-ollama", self._image(view), self._title(view), self._menu(view))
        if self._backend == "_xorg":
            # It notes its thread only after it has let the set-up thread go, which asks for it.
            self._icon._thread = threading.current_thread()
        self._hop = _hop_for(self._backend, self._icon)
        self.paints = 0

    def run(self) -> None:
        """Show the icon until `stop`. Blocks the main thread."""
        try:
            self._icon.run(self._paint_until_over)
        except Exception as error:
            # pystray takes its last notification back at the end, and there may be nobody to take it: GLib.GError.
            if not self._is_over:
                raise
            log.debug("the tray backend complained at its end: %s", error)

    def stop(self) -> None:
        """Make `run` return. From any thread, any number of times."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def show(self, view: View) -> None:
        """Have the icon look like `view`, at the latest 100 ms from now. From any thread; never blocks."""
        with self._changed:
            self._newest = view
            self._changed.notify_all()

    def notify(self, title: str, text: str) -> None:
        """Show the icon's own balloon, on Windows. From any thread.

        The gtk backends' way asks the bus on the UI's thread, and would freeze it together with a daemon that hangs.
        """
        if self._backend == "_win32":
            self._on_ui(lambda: self._icon.notify(text, title))

    def _on_ui(self, action: Callable[[], None]) -> None:
        """Have `action` called on the UI's thread. What goes wrong there, or on the way, is logged, and the icon stays.

        Left to the backends, it would end some of them, and with them the program.
        """
        try:
            self._hop(partial(_attempt, action))
        except Exception:
            log.exception("the UI's thread cannot be reached")

    def _paint_until_over(self, icon: Any) -> None:
        """On pystray's set-up thread: paint each new view, the newest only and at most one in 100 ms."""
        self._on_ui(self._appear)
        while (view := self._next()) is not None:
            self._on_ui(partial(self._paint, view))
            time.sleep(PAINT_SECONDS)
        # The other backends take a stop from any thread, at once, and also while a menu is open.
        if self._backend == "_xorg":
            self._on_ui(icon.stop)
        else:
            icon.stop()

    def _appear(self) -> None:
        try:
            self._icon.visible = True
        finally:
            # The gtk backends give SIGINT its default action back when they begin: it would end us without a quit.
            self._on_appeared()

    def _next(self) -> View | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._newest != self._shown)
            self._shown = self._newest
            return None if self._is_over else self._newest

    def _paint(self, view: View) -> None:
        self.paints += 1
        self._icon.icon = self._image(view)
        self._icon.title = self._title(view)
        self._icon.menu = self._menu(view)

    def _make(self, on_close: Callable[[bool], None]) -> Callable[..., Any]:
        if self._backend != "_win32":
            icon: Callable[..., Any] = self._pystray.Icon
            return icon
        from tray.icon_windows import WindowsIcon

        return partial(WindowsIcon, on_close=on_close)

    def _image(self, view: View) -> Image.Image | Path:
        # Windows picks the size itself, from a file that has them all.
        if self._backend == "_win32":
            return icons.icon_file(view.look.value)
        with Image.open(icons.path(view.look.value, _SIZE)) as image:
            return image.convert("RGBA")

    def _title(self, view: View) -> str:
        # The xorg backend makes it a window's name, which the X protocol knows in Latin-1 only.
        return view.tooltip.encode("latin-1", "replace").decode("latin-1") if self._backend == "_xorg" else view.tooltip

    def _menu(self, view: View) -> Any:
        return self._pystray.Menu(*map(self._menu_item, view.items))

    def _menu_item(self, item: Item) -> Any:
        if item is SEPARATOR:
            return self._pystray.Menu.SEPARATOR
        if item.children:
            children = self._pystray.Menu(*map(self._menu_item, item.children))
            return self._pystray.MenuItem(self._label(item), children, enabled=item.enabled)
        checked = item.checked
        return self._pystray.MenuItem(
            self._label(item),
            self._action(item.command),
            checked=None if checked is None else lambda _: checked,
            enabled=item.enabled,
            default=item.is_default,
        )

    def _label(self, item: Item) -> str:
        # A single one underlines the next letter there.
        return item.label.replace("&", "&&") if self._backend == "_win32" else item.label

    def _action(self, command: Command | None) -> Callable[[], None]:
        def act() -> None:
            if command is not None:
                self._on_command(command)

        return act


def _hop_for(backend: str, icon: Any) -> Callable[[Callable[[], None]], None]:
    """How to have something done on the thread that this backend's UI runs on."""
    if backend in ("_appindicator", "_gtk"):
        from gi.repository import GLib

        return lambda action: GLib.idle_add(_once, action)
    if backend == "_darwin":
        from PyObjCTools import AppHelper

        return lambda action: AppHelper.callAfter(action)
    if backend == "_win32":
        post: Callable[[Callable[[], None]], None] = icon.post
        return post
    if backend == "_xorg":
        from tray.icon_xorg import hop as hop_xorg

        return hop_xorg(icon)
    raise NoTray(f"pystray's backend {backend.strip('_')} cannot show anything")


def _attempt(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:
        log.exception("the icon cannot be changed")


def _once(action: Callable[[], None]) -> bool:
    # GLib calls an idle source again as long as it returns true.
    action()
    return False
