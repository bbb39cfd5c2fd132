"""pystray's Win32 icon, made to fit: sharp at every scale, there after a late taskbar, and gone when the session ends.

For `icon` only. pystray answers 0 to each message it does not know, and to some that is an answer: 0 to
WM_QUERYENDSESSION forbids Windows to log the user off.
"""

from __future__ import annotations

import ctypes
import logging
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pystray._util import win32
from pystray._win32 import Icon

from tray.toasts import Kind, Toast

log = logging.getLogger(__name__)

_WM_NULL = 0x0000
_WM_CLOSE = 0x0010
_WM_QUERYENDSESSION = 0x0011
_WM_ENDSESSION = 0x0016
_WM_TIMER = 0x0113
_WM_DPICHANGED = 0x02E0
_WM_CALLS = 0x8001
_NIN_BALLOONUSERCLICK = 0x0405
_SM_CXSMICON = 49
_RETRY_TIMER = 1
_RETRY_MILLISECONDS = 1000
_PER_MONITOR_AWARE_V2 = ctypes.c_void_p(-4)
_NIIF_INFO, _NIIF_WARNING, _NIIF_ERROR, _NIIF_NOSOUND, _NIIF_RESPECT_QUIET_TIME = 0x01, 0x02, 0x03, 0x10, 0x80
# https://learn.microsoft.com/windows/win32/api/shellapi/ns-shellapi-notifyicondataw
_BALLOONS = {
    Kind.NEWS: _NIIF_INFO | _NIIF_NOSOUND | _NIIF_RESPECT_QUIET_TIME,
    Kind.ANSWER: _NIIF_INFO | _NIIF_NOSOUND,
    Kind.WARNING: _NIIF_WARNING | _NIIF_RESPECT_QUIET_TIME,
    Kind.FAILURE: _NIIF_ERROR,
}


class WindowsIcon(Icon):  # type: ignore[misc]  # pystray has no types
    """An icon whose `icon` is the path of an icon file, drawn in the tray's own size. Make and run it on one thread."""

    def __init__(self, name: str, icon: Path, title: str, menu: Any, *, on_close: Callable[[bool], None]) -> None:
        """`on_close` is called on this thread when the system asks for an end, with True if the session ends too.

        Then it may block for some seconds: Windows takes the program away as soon as it has returned.
        """
        # Before the first window. Otherwise Windows scales what we draw, which blurs it. Refused if a manifest says so.
        win32.windll.user32.SetProcessDpiAwarenessContext(_PER_MONITOR_AWARE_V2)
        super().__init__(name, icon, title, menu)
        self._on_close = on_close
        self._is_ending = False
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._is_late = False
        self._open_menus = 0
        self._icon_handle: int | None = None
        self._on_balloon_click: Callable[[], None] | None = None
        self._message_handlers |= {
            _WM_CALLS: self._run_calls,
            _WM_CLOSE: self._close,
            _WM_QUERYENDSESSION: lambda _wparam, _lparam: True,
            _WM_ENDSESSION: self._end_session,
            _WM_TIMER: self._show_again,
            _WM_DPICHANGED: self._on_display_change,
        }

    def post(self, action: Callable[[], None]) -> None:
        """Have `action` called on the window's thread, soon; while a menu is open, after it. From any thread.

        pystray destroys the menu it replaces, and an open menu that is destroyed takes the click with it.
        """
        self._calls.put(action)
        # Where there is no window yet, or no longer, nothing comes of this; the calls run with the first message.
        win32.PostMessage(self._hwnd, _WM_CALLS, 0, 0)

    def tell(self, toast: Toast, on_click: Callable[[], None] | None) -> None:
        """Show a balloon in the place of the last; `on_click` is called on this thread when the person clicks it."""
        # A balloon that still stands would be waited for. An empty one takes it away.
        self._message(win32.NIM_MODIFY, win32.NIF_INFO, szInfo="")
        self._on_balloon_click = on_click
        flags = _BALLOONS[toast.kind]
        self._message(win32.NIM_MODIFY, win32.NIF_INFO, szInfo=toast.text, szInfoTitle=toast.title, dwInfoFlags=flags)

    def _run_calls(self, wparam: int = 0, lparam: int = 0) -> None:
        while self._open_menus == 0:
            try:
                action = self._calls.get_nowait()
            except queue.Empty:
                return
            action()

    def _on_notify(self, wparam: int, lparam: int) -> None:
        if lparam == _NIN_BALLOONUSERCLICK:
            if self._on_balloon_click:
                self._on_balloon_click()
            return
        # An open menu runs a message loop of its own, in which more of these arrive.
        self._open_menus += 1
        try:
            super()._on_notify(wparam, lparam)
        finally:
            self._open_menus -= 1
            # TrackPopupMenu's documentation asks for it: without, the next menu may vanish as soon as it appears.
            win32.PostMessage(self._hwnd, _WM_NULL, 0, 0)
            self._run_calls()

    def _on_stop(self, wparam: int, lparam: int) -> None:
        if self._open_menus:
            # The menu's own message loop may swallow the message that is to end ours.
            win32.windll.user32.EndMenu()
        self._calls.put(lambda: win32.PostQuitMessage(0))
        self._run_calls()

    def _mark_ready(self) -> None:
        # The menu's own window. Left to Windows, a WM_CLOSE (taskkill) destroys it, and no menu opens any more.
        self._HWND_TO_ICON[self._menu_hwnd] = self
        super()._mark_ready()

    def _close(self, wparam: int, lparam: int) -> None:
        self._on_close(False)

    def _end_session(self, is_ending: int, lparam: int) -> None:
        # Each window gets it, and gets it too when the user has called the log-off off.
        if is_ending and not self._is_ending:
            self._is_ending = True
            self._on_close(True)

    def _show(self) -> None:
        """Add the icon; where the taskbar does not take it, as at a busy login, try again each second until it does."""
        self._assert_icon_handle()
        flags = win32.NIF_MESSAGE | win32.NIF_ICON | win32.NIF_TIP
        # One that is there already cannot be added, as after a TaskbarCreated that came for another reason.
        for code in (win32.NIM_ADD, win32.NIM_MODIFY):
            if self._message(code, flags, uCallbackMessage=win32.WM_NOTIFY, hIcon=self._icon_handle, szTip=self.title):
                win32.windll.user32.KillTimer(self._hwnd, _RETRY_TIMER)
                self._is_late = False
                return
        if not self._is_late:
            log.info("the taskbar does not take the icon yet")
            self._is_late = True
        win32.windll.user32.SetTimer(self._hwnd, _RETRY_TIMER, _RETRY_MILLISECONDS, None)

    def _show_again(self, wparam: int, lparam: int) -> None:
        if self.visible:
            self._show()

    def _message(self, code: int, flags: int, **fields: Any) -> bool:
        """Whether the taskbar took it."""
        data = win32.NOTIFYICONDATAW(
            cbSize=ctypes.sizeof(win32.NOTIFYICONDATAW), hWnd=self._hwnd, uFlags=flags, **fields
        )
        return bool(win32.Shell_NotifyIcon(code, data))

    def _on_display_change(self, wparam: int, lparam: int) -> None:
        if self.visible:
            self._update_icon()

    def _assert_icon_handle(self) -> None:
        if self._icon_handle:
            return
        user32 = win32.windll.user32
        side = user32.GetSystemMetricsForDpi(_SM_CXSMICON, user32.GetDpiForWindow(self._hwnd))
        self._icon_handle = win32.LoadImage(None, str(self.icon), win32.IMAGE_ICON, side, side, win32.LR_LOADFROMFILE)
