"""What is behind our standard output. Not part of `core.platform` itself, which the shim imports."""

from __future__ import annotations

import os
import select
import sys

_VIRTUAL_TERMINAL = 0x0004
"""ENABLE_VIRTUAL_TERMINAL_PROCESSING: https://learn.microsoft.com/windows/console/setconsolemode."""


def takes_colours(descriptor: int) -> bool:
    """Whether the terminal behind it understands the colours of ECMA-48 (`ESC [ 31 m`).

    A console of Windows is asked to, and understands them from then on; those before Windows 10 cannot.
    """
    if sys.platform != "win32":
        return os.environ.get("TERM", "dumb") != "dumb"
    import ctypes
    import msvcrt

    try:
        handle = msvcrt.get_osfhandle(descriptor)
    except OSError:
        return False
    kernel32, mode = ctypes.WinDLL("kernel32"), ctypes.c_uint32()
    if not kernel32.GetConsoleMode(ctypes.c_void_p(handle), ctypes.byref(mode)):
        return False
    return bool(kernel32.SetConsoleMode(ctypes.c_void_p(handle), mode.value | _VIRTUAL_TERMINAL))


def has_no_reader(descriptor: int) -> bool:
    """Whether it is a pipe that nobody reads any more, or a terminal that is gone. Does not wait.

    Always False on Windows, where only a write can tell.
    """
    if sys.platform == "win32":
        return False
    watch = select.poll()
    # Without any event that is asked for, only those come that always do: POLLERR and POLLHUP.
    watch.register(descriptor, 0)
    return bool(watch.poll(0))
