"""Ask a console program on Windows to end, as Ctrl-C in its window would.

GenerateConsoleCtrlEvent reaches only processes on the caller's own console, and a process has one console at most. So
a helper process runs this: it leaves its console, attaches to the program's and sends the event. It is run by path, and
so imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import sys
import threading

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

_CTRL_C_EVENT = 0
_WHOLE_CONSOLE = 0
_DELIVERY_SECONDS = 2.0


def send_console_stop(pid: int) -> bool:
    """Send Ctrl-C to every process on the console of `pid`; False if it has no console or is gone.

    The calling process moves to that console and ends without one. Waits until it gets the event too, 2 s at most.
    """
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.FreeConsole()
    if not kernel32.AttachConsole(ctypes.c_uint32(pid)):
        return False
    delivered = threading.Event()

    # This process is on that console too, and Ctrl-C would end it.
    def survive(event: int) -> int:
        delivered.set()
        return 1

    handler = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint32)(survive)
    kernel32.SetConsoleCtrlHandler(handler, 1)
    sent = bool(kernel32.GenerateConsoleCtrlEvent(_CTRL_C_EVENT, _WHOLE_CONSOLE))
    if sent:
        delivered.wait(_DELIVERY_SECONDS)
    kernel32.FreeConsole()
    kernel32.SetConsoleCtrlHandler(handler, 0)
    return sent


def heed_console_stop() -> None:
    """Stop ignoring Ctrl-C. Processes inherit that setting, and a launcher that detaches us may have set it."""
    ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(None, 0)


if __name__ == "__main__":
    sys.exit(0 if send_console_stop(int(sys.argv[1])) else 1)
