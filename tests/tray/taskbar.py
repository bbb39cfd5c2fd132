"""Looks at the Windows taskbar and speaks to our icon's windows, as Windows does. Run under Wine by `wine_tray`.

`tips` prints the texts of the visible tips and balloons as JSON; `dismiss`, a balloon, `close`, `end-session`,
`explorer-gone` and `explorer-back` do what they say.

Without a command it carries out those that come on stdin, one a line. Each gets a line for an answer: what the command
prints, or `failed: ` and why. A balloon is gone after 10 s, in which on a busy machine no program of Wine's starts.
"""

import contextlib
import ctypes
import io
import json
import sys
from ctypes import wintypes

from pystray._util import win32

assert sys.platform == "win32"

WM_CLOSE, WM_GETTEXT, WM_QUERYENDSESSION, WM_ENDSESSION = 0x0010, 0x000D, 0x0011, 0x0016
SMTO_NORMAL, LONGEST_MS = 0, 15_000

user32 = ctypes.WinDLL("user32")
user32.SendMessageTimeoutW.argtypes = [
    wintypes.HWND,
    wintypes.UINT,
    wintypes.WPARAM,
    ctypes.c_void_p,
    wintypes.UINT,
    wintypes.UINT,
    ctypes.POINTER(ctypes.c_size_t),
]


def windows(class_name: str) -> list[int]:
    """All top-level windows whose class has that in its name."""
    found: list[int] = []

    def look(window: int, _: int) -> bool:
        name = ctypes.create_unicode_buffer(256)
        user32.GetClassNameW(window, name, 256)
        if class_name in name.value:
            found.append(window)
        return True

    user32.EnumWindows(ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)(look), 0)
    return found


def send(window: int, message: int, wparam: int, lparam: "ctypes.Array[ctypes.c_wchar] | None" = None) -> int:
    """What the window answers, within 15 s."""
    answer = ctypes.c_size_t()
    sent = user32.SendMessageTimeoutW(window, message, wparam, lparam, SMTO_NORMAL, LONGEST_MS, ctypes.byref(answer))
    assert sent, f"no answer to message {message:#x}"
    return answer.value


def tips() -> list[str]:
    """The texts of the tips and balloons that can be seen."""
    texts = []
    for window in windows("tooltips_class32"):
        if user32.IsWindowVisible(window):
            text = ctypes.create_unicode_buffer(512)
            send(window, WM_GETTEXT, 512, text)
            texts.append(text.value)
    return texts


def tell_taskbar(windows: list[int], code: int, flags: int) -> None:
    """Tell it about our icon, which belongs to one of the windows."""
    size = ctypes.sizeof(win32.NOTIFYICONDATAW)
    told = [win32.NOTIFYICONDATAW(cbSize=size, hWnd=window, uFlags=flags) for window in windows]
    assert any(win32.Shell_NotifyIcon(code, each) for each in told), "the taskbar refuses"


def main(command: str) -> None:
    """Carry out one command."""
    ours = windows("aura-ollama")
    match command:
        case "tips":
            print(json.dumps(tips()))
        case "dismiss":
            # An empty text takes it away.
            tell_taskbar(ours, win32.NIM_MODIFY, win32.NIF_INFO)
        case "close":
            for window in ours:
                send(window, WM_CLOSE, 0)
        case "end-session":
            assert [send(window, WM_QUERYENDSESSION, 0) for window in ours] == [1, 1]
            # The first to get it is the last to answer: by then all is over, and the other may be gone.
            send(ours[0], WM_ENDSESSION, 1)
        case "explorer-gone":
            tell_taskbar(ours, win32.NIM_DELETE, 0)
        case "explorer-back":
            for window in ours:
                send(window, win32.WM_TASKBARCREATED, 0)
        case _:
            raise SystemExit(f"what is {command!r}?")


def serve() -> None:
    """Carry out what comes on stdin, until it ends."""
    for line in sys.stdin:
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                main(line.strip())
        except AssertionError as error:
            print(f"failed: {error}", flush=True)
        else:
            print(said.getvalue().strip(), flush=True)


if len(sys.argv) > 1:
    main(sys.argv[1])
else:
    serve()
