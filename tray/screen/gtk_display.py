"""Learns that the screen is gone before GDK does, which ends the program at once with status 1. On GTK's thread only.

An X server that ends is told by Xlib, which calls a handler before it exits. A Wayland compositor that ends is seen by
GDK alone, in its event source; ours comes before that one in each turn of the main loop and looks at the same socket.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import gi

gi.require_version("Gdk", "3.0")
from gi.repository import Gdk, GLib  # noqa: E402 - only after the version is chosen

_X_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


def watch(on_gone: Callable[[], None]) -> object:
    """Have `on_gone` called when the screen is gone; it has to end the process. Keep what is returned."""
    display = Gdk.Display.get_default()
    kind = display.__gtype__.name if display is not None else ""
    if kind == "GdkX11Display":

        def end(_: int | None) -> int:
            on_gone()
            return 0

        handler = _X_HANDLER(end)
        ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(handler)
        # Xlib keeps a pointer only.
        return handler
    if kind == "GdkWaylandDisplay":
        source = _CompositorWatch(_wayland_socket(display), on_gone)
        source.attach(None)
        return source
    return None


class _CompositorWatch(GLib.Source):  # type: ignore[misc]  # gi has no types
    """Asks with each wait of the main loop whether the compositor's socket is hung up."""

    def __init__(self, socket: int, on_gone: Callable[[], None]) -> None:
        super().__init__()
        self._on_gone = on_gone
        self._socket = GLib.PollFD(socket, GLib.IOCondition.HUP | GLib.IOCondition.ERR)
        self.add_poll(self._socket)
        # GDK's source, which has a lower one, is asked after this one.
        self.set_priority(GLib.PRIORITY_HIGH)

    def prepare(self) -> tuple[bool, int]:
        return False, -1

    def check(self) -> bool:
        if self._socket.revents:
            self._on_gone()
        return False


def _wayland_socket(display: Any) -> int:
    """The descriptor of GDK's connection to the compositor."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    connection = ctypes.CDLL("libgdk-3.so.0").gdk_wayland_display_get_wl_display
    connection.restype, connection.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    socket = ctypes.CDLL("libwayland-client.so.0").wl_display_get_fd
    socket.argtypes = [ctypes.c_void_p]
    return int(socket(connection(pointer(display.__gpointer__, None))))
