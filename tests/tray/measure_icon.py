"""Prints the tray's own size, the width of the icon that we draw there, and 2 if we mind the scale of each monitor.

Run by `test_icon_windows`.
"""

import ctypes
import sys
from ctypes import wintypes

import icons
from tray.screen.windows import WindowsIcon

assert sys.platform == "win32"

SM_CXSMICON = 49


class IconInfo(ctypes.Structure):
    """ICONINFO."""

    _fields_ = (
        ("is_icon", wintypes.BOOL),
        ("x", wintypes.DWORD),
        ("y", wintypes.DWORD),
        ("mask", wintypes.HBITMAP),
        ("colour", wintypes.HBITMAP),
    )


class Bitmap(ctypes.Structure):
    """BITMAP."""

    _fields_ = (
        ("kind", wintypes.LONG),
        ("width", wintypes.LONG),
        ("height", wintypes.LONG),
        ("row_bytes", wintypes.LONG),
        ("planes", wintypes.WORD),
        ("depth", wintypes.WORD),
        ("bits", ctypes.c_void_p),
    )


def measure(icon: WindowsIcon) -> None:
    """Print, on the icon's thread."""
    user32, gdi32 = ctypes.WinDLL("user32"), ctypes.WinDLL("gdi32")
    user32.GetThreadDpiAwarenessContext.restype = ctypes.c_void_p
    icon.visible = True
    info, bitmap = IconInfo(), Bitmap()
    assert user32.GetIconInfo(wintypes.HICON(icon._icon_handle), ctypes.byref(info))
    assert gdi32.GetObjectW(wintypes.HBITMAP(info.colour), ctypes.sizeof(bitmap), ctypes.byref(bitmap))
    wanted = user32.GetSystemMetricsForDpi(SM_CXSMICON, user32.GetDpiForWindow(wintypes.HWND(icon._hwnd)))
    context = ctypes.c_void_p(user32.GetThreadDpiAwarenessContext())
    print(wanted, bitmap.width, user32.GetAwarenessFromDpiAwarenessContext(context))


def measure_and_end(icon: WindowsIcon) -> None:
    """On pystray's set-up thread."""
    icon.post(lambda: measure(icon))
    icon.post(icon.stop)


WindowsIcon("x", icons.icon_file("up"), "x", None, on_close=print).run(measure_and_end)
