"""What pystray's two backends for GTK have in common here: a menu that stays, our own files, no notification service.

For `icon` only; all but `post` and `stop` is on GTK's thread, the main one. The indicator (`icon_indicator`) is shown
by a StatusNotifier host, or where there is none by an X11 tray; the status icon (`icon_status`) by an X11 tray alone.
Each waits for its host by itself, as long as it runs.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GLib  # noqa: E402 - only after the version is chosen

import icons  # noqa: E402
from tray.gtk_menu import LiveMenu  # noqa: E402
from tray.gtk_window import TextWindow  # noqa: E402
from tray.menu import Command, View  # noqa: E402
from tray.toasts import Toast  # noqa: E402

log = logging.getLogger(__name__)

_SIZE = 64
_X_ERROR_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


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
    """`icon_indicator.IndicatorIcon` or `icon_status.StatusIcon`."""

    def __call__(self, icon: Path, title: str, menu: LiveMenu) -> Any: ...


class GtkBackend:
    """The icon in the tray, with its menu, and a window for texts. See `icon.Backend`."""

    def __init__(
        self, make_icon: _IconClass, view: View, on_command: Callable[[Command], None], on_close: Callable[[bool], None]
    ) -> None:
        """`on_close` is called with True, and may block for some seconds, when the X server has ended."""
        self._menu = LiveMenu(view.items, on_command)
        self.icon: Any = make_icon(_image(view), view.tooltip, self._menu)
        self._window = TextWindow()
        self._on_close = on_close
        # Xlib keeps a pointer only.
        self._on_x_error = _X_ERROR_HANDLER(self._end_with_x)
        display = Gdk.Display.get_default()
        if display is not None and display.__gtype__.name == "GdkX11Display":
            ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(self._on_x_error)

    def post(self, action: Callable[[], None]) -> None:
        """Have `action` called on GTK's thread, soon. From any thread."""
        GLib.idle_add(_once, action)

    def paint(self, view: View) -> None:
        """Show `view`."""
        self._menu.show(view.items)
        self.icon.title = view.tooltip
        self.icon.icon = _image(view)

    def tell(self, toast: Toast) -> None:
        """Show in a window what no notification service shows. Mere news get none: the icon tells them as well."""
        if not toast.is_news:
            self._window.show(toast.title, toast.text)

    def stop(self) -> None:
        """Make the icon's `run` return. From any thread, also while a menu is open."""
        self.icon.stop()

    def _end_with_x(self, _: int | None) -> int:
        # The session is over. When this returns Xlib ends the program at once, with status 1.
        log.info("the X server has ended")
        self._on_close(True)
        logging.shutdown()
        os._exit(0)


def _image(view: View) -> Path:
    return icons.path(view.look.value, _SIZE)


def _once(action: Callable[[], None]) -> bool:
    # GLib calls an idle source again as long as it returns true.
    action()
    return False
