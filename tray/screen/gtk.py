"""What pystray's two backends for GTK have in common here: a menu that stays, our own files, no notification service.

For `icon` only; all but `post` and `stop` is on GTK's thread, the main one. The icon of `indicator` is shown by
a StatusNotifier host, or where there is none by an X11 tray; that of `status_icon` by an X11 tray alone.
Each waits for its host by itself, as long as it runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gi.repository import GLib

import icons
from tray.menu import Command, View
from tray.screen import gtk_display
from tray.screen.gtk_menu import LiveMenu
from tray.screen.gtk_window import TextWindow
from tray.toasts import Kind, Toast

log = logging.getLogger(__name__)

_SIZE = 64


class QuietStart:
    """For an icon of pystray's: begin and end without its proxy of the notification service, and without its files.

    Making that proxy starts the service and waits for it, up to 25 s; one that fails would cost us the icon.
    """

    def _initialize(self) -> None:
        self._mark_ready()  # type: ignore[attr-defined]

    def _finalize(self) -> None:
        """Nothing was made that has to be taken back."""

    def _update_menu(self) -> None:
        """The menu changes in place."""


class _IconClass(Protocol):
    """`indicator.IndicatorIcon` or `status_icon.StatusIcon`."""

    def __call__(self, icon: Path, title: str, menu: LiveMenu) -> Any: ...


class GtkBackend:
    """The icon in the tray, with its menu, and a window for texts. See `icon.Backend`."""

    def __init__(
        self, make_icon: _IconClass, view: View, on_command: Callable[[Command], None], on_close: Callable[[bool], None]
    ) -> None:
        """`on_close` is called with True, and may block for some seconds, when the screen is gone."""
        self._menu = LiveMenu(view.items, on_command)
        self.icon: Any = make_icon(_image(view), view.tooltip, self._menu)
        self._window = TextWindow(on_command)
        self._on_close = on_close
        self._screen = gtk_display.watch(self._end_with_screen)

    def post(self, action: Callable[[], None]) -> None:
        """Have `action` called on GTK's thread, soon. From any thread."""
        GLib.idle_add(_once, action)

    def paint(self, view: View) -> None:
        """Show `view`."""
        self._menu.show(view.items)
        # The indicator's image bears its title, so this order.
        self.icon.title = view.tooltip
        self.icon.icon = _image(view)

    def tell(self, toast: Toast) -> None:
        """Show in a window what no notification service shows. Mere news get none: the icon tells them as well."""
        if toast.kind is not Kind.NEWS:
            self._window.show(toast)

    def stop(self) -> None:
        """Make the icon's `run` return. From any thread, also while a menu is open."""
        self.icon.stop()

    def _end_with_screen(self) -> None:
        log.info("the screen is gone, and so is the session")
        self._on_close(True)
        logging.shutdown()
        os._exit(0)


def _image(view: View) -> Path:
    return icons.path(view.look.value, _SIZE)


def _once(action: Callable[[], None]) -> bool:
    # GLib calls an idle source again as long as it returns true.
    action()
    return False
