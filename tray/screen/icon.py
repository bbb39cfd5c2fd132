"""The icon on the screen. A view comes in from any thread, a command goes out. Only this room imports pystray.

pystray belongs to the main thread. Each backend has its own way to get there: GLib's idle queue, a window message on
Windows, the Cocoa main queue on macOS. Only `run` blocks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, Protocol

from tray.menu import Command, View
from tray.toasts import Toast

log = logging.getLogger(__name__)

PAINT_SECONDS = 0.1


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


class Backend(Protocol):
    """One way to show an icon. `paint` and `tell` are for the UI's thread, the rest is for any."""

    icon: Any
    """pystray's."""

    @property
    def post(self) -> Callable[[Callable[[], None]], None]:
        """Has its argument called on the UI's thread, soon; never blocks."""

    def paint(self, view: View) -> None:
        """Show `view`."""

    def tell(self, toast: Toast) -> None:
        """Show a toast in this backend's own way, if it has one."""

    def stop(self) -> None:
        """Make the icon's `run` return."""


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

        `on_close`: the system asks for an end. With True the session ends as well, and the program with it as soon as
        `on_close` has returned.
        """
        self._on_appeared = on_appeared
        self._shown: View | None = None
        self._newest = view
        self._changed = threading.Condition()
        self._is_over = False
        self._backend = _backend(pystray, view, on_command, on_close)
        self.paints = 0

    def run(self) -> None:
        """Show the icon until `stop`, or not at all if that came first. Blocks the main thread."""
        if self._is_over:
            return
        try:
            self._backend.icon.run(self._paint_until_over)
        except Exception as error:
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

    def tell(self, toast: Toast) -> None:
        """Show a toast that no notification service shows: as a balloon or in a window. From any thread."""
        self._on_ui(partial(self._backend.tell, toast))

    def _on_ui(self, action: Callable[[], None]) -> None:
        """Have `action` called on the UI's thread. What goes wrong there, or on the way, is logged, and the icon stays.

        Left to the backends, it would end some of them, and with them the program.
        """
        try:
            self._backend.post(partial(_attempt, action))
        except Exception:
            log.exception("the UI's thread cannot be reached")

    def _paint_until_over(self, _: Any) -> None:
        """On pystray's set-up thread: paint each new view, the newest only and at most one in 100 ms."""
        self._on_ui(self._appear)
        while (view := self._next()) is not None:
            self._on_ui(partial(self._paint, view))
            time.sleep(PAINT_SECONDS)
        self._backend.stop()

    def _appear(self) -> None:
        try:
            self._backend.icon.visible = True
        finally:
            # A toolkit may have taken the signals for itself as it began.
            self._on_appeared()

    def _next(self) -> View | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._newest != self._shown)
            self._shown = self._newest
            return None if self._is_over else self._newest

    def _paint(self, view: View) -> None:
        self.paints += 1
        self._backend.paint(view)


def _attempt(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:
        log.exception("the icon cannot be changed")


def _backend(
    pystray: ModuleType, view: View, on_command: Callable[[Command], None], on_close: Callable[[bool], None]
) -> Backend:
    """What shows the icon with the backend that pystray chose. Raises NoTray."""
    match pystray.Icon.__module__.rpartition(".")[2]:
        case "_appindicator":
            from tray.screen.gtk import GtkBackend
            from tray.screen.indicator import IndicatorIcon

            return GtkBackend(IndicatorIcon, view, on_command, on_close)
        case "_gtk":
            from tray.screen.gtk import GtkBackend
            from tray.screen.status_icon import StatusIcon

            return GtkBackend(StatusIcon, view, on_command, on_close)
        case "_win32" | "_darwin" | "_xorg" as name:
            from tray.screen.rebuilt import RebuiltBackend

            return RebuiltBackend(pystray, name, view, on_command, on_close)
        case name:
            raise NoTray(f"pystray's backend {name.strip('_')} cannot show anything")
