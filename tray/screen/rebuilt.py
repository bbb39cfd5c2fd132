"""The backends of pystray that make a menu anew whenever it changes: Windows, macOS, and X11 without a toolkit.

For `icon` only; all but `post` and `stop` is on the thread that the backend's UI runs on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

import icons
from tray.menu import SEPARATOR, Command, Item, View
from tray.toasts import Toast

_SIZE = 64


class RebuiltBackend:
    """The icon in the tray with its menu. See `icon.Backend`."""

    def __init__(
        self,
        pystray: ModuleType,
        name: str,
        view: View,
        on_command: Callable[[Command], None],
        on_close: Callable[[bool], None],
    ) -> None:
        """`name` is that of pystray's module for the backend."""
        self._pystray = pystray
        self._name = name
        self._on_command = on_command
        self._items = view.items
        self.icon: Any = self._make(on_close)("aura-ollama", self._image(view), self._title(view), self._menu(view))
        if name == "_xorg":
            # It notes its thread only after it has let the set-up thread go, which asks for it.
            self.icon._thread = threading.current_thread()
        self.post = _hop_for(name, self.icon)

    def paint(self, view: View) -> None:
        """Show `view`. A menu that has not changed stays as it is, open or not."""
        self.icon.icon = self._image(view)
        self.icon.title = self._title(view)
        if view.items != self._items:
            self._items = view.items
            self.icon.menu = self._menu(view)

    def tell(self, toast: Toast) -> None:
        """Show the icon's own balloon, on Windows."""
        if self._name == "_win32":
            opens = toast.opens
            self.icon.tell(toast, partial(self._on_command, opens) if opens else None)

    def stop(self) -> None:
        """Make the icon's `run` return. From any thread."""
        # The other backends take a stop from any thread, at once, and also while a menu is open.
        if self._name == "_xorg":
            self.post(self.icon.stop)
        else:
            self.icon.stop()

    def _make(self, on_close: Callable[[bool], None]) -> Callable[..., Any]:
        if self._name != "_win32":
            icon: Callable[..., Any] = self._pystray.Icon
            return icon
        from tray.screen.windows import WindowsIcon

        return partial(WindowsIcon, on_close=on_close)

    def _image(self, view: View) -> Image.Image | Path:
        # Windows picks the size itself, from a file that has them all.
        if self._name == "_win32":
            return icons.icon_file(view.look.value)
        with Image.open(icons.path(view.look.value, _SIZE)) as image:
            return image.convert("RGBA")

    def _title(self, view: View) -> str:
        # The xorg backend makes it a window's name, which the X protocol knows in Latin-1 only.
        return view.tooltip.encode("latin-1", "replace").decode("latin-1") if self._name == "_xorg" else view.tooltip

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
        return item.label.replace("&", "&&") if self._name == "_win32" else item.label

    def _action(self, command: Command | None) -> Callable[[], None]:
        def act() -> None:
            if command is not None:
                self._on_command(command)

        return act


def _hop_for(name: str, icon: Any) -> Callable[[Callable[[], None]], None]:
    """How to have something done on the thread that this backend's UI runs on."""
    if name == "_darwin":
        from PyObjCTools import AppHelper

        return lambda action: AppHelper.callAfter(action)
    if name == "_win32":
        post: Callable[[Callable[[], None]], None] = icon.post
        return post
    from tray.screen.xorg import hop

    return hop(icon)
