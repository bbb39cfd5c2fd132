"""How a call reaches the thread that owns the Win32 tray window, without disturbing an open menu. For `icon` only."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from typing import Any

WM_APP = 0x8000
_WM_CALLS = WM_APP + 1


def hop(icon: Any) -> Callable[[Callable[[], None]], None]:
    """A function that has its argument called on the window's thread, soon; while a menu is open, after it.

    pystray destroys the menu it replaces, and an open menu that is destroyed takes the click with it.
    """
    from pystray._util import win32

    calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    depth = 0
    on_notify = icon._message_handlers[win32.WM_NOTIFY]

    def run_calls(wparam: int = 0, lparam: int = 0) -> None:
        while depth == 0:
            try:
                action = calls.get_nowait()
            except queue.Empty:
                return
            action()

    def track(wparam: int, lparam: int) -> None:
        # An open menu runs a message loop of its own, in which more of these arrive.
        nonlocal depth
        depth += 1
        try:
            on_notify(wparam, lparam)
        finally:
            depth -= 1
            run_calls()

    def post(action: Callable[[], None]) -> None:
        calls.put(action)
        # Without a window yet there is no thread to disturb; the calls run with the first message.
        with contextlib.suppress(OSError):
            win32.PostMessage(icon._hwnd, _WM_CALLS, 0, 0)

    icon._message_handlers[_WM_CALLS] = run_calls
    icon._message_handlers[win32.WM_NOTIFY] = track
    return post
