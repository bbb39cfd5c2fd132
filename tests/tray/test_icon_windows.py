"""The Win32 icon in a real taskbar, Explorer's or Wine's, and what it answers to Windows' own messages."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
import winreg
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import wintypes
from pathlib import Path
from typing import Any

import pytest
from pystray._util import win32

from core.supervision.state import State, Status
from tray.menu import Act, Command, Facts, Item, Look, View, view
from tray.screen import icon
from tray.toasts import Kind, Toast

assert sys.platform == "win32"

pytestmark = pytest.mark.timeout(120)  # a taskbar starts with the first icon

DEADLINE_SECONDS = 60.0
WM_CLOSE, WM_QUERYENDSESSION, WM_ENDSESSION, WM_COPYDATA, WM_CALLS = 0x0010, 0x0011, 0x0016, 0x004A, 0x8001
MF_GRAYED, MF_CHECKED, MF_SEPARATOR, MF_BYPOSITION = 0x0003, 0x0008, 0x0800, 0x0400
GDI_OBJECTS, USER_OBJECTS = 0, 1
NIN_BALLOONUSERCLICK = 0x0405
WS_EX_TOPMOST = 0x0008
PER_MONITOR_AWARE = "2"

user32 = ctypes.WinDLL("user32", use_last_error=True)
user32.SendMessageW.argtypes = [wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM]
user32.SendMessageW.restype = ctypes.c_ssize_t
user32.DefWindowProcW.argtypes = user32.SendMessageW.argtypes
user32.DefWindowProcW.restype = ctypes.c_ssize_t
user32.GetMenuStringW.argtypes = [wintypes.HMENU, wintypes.UINT, wintypes.LPWSTR, ctypes.c_int, wintypes.UINT]
user32.GetMenuState.argtypes = [wintypes.HMENU, wintypes.UINT, wintypes.UINT]
user32.GetMenuItemCount.argtypes = [wintypes.HMENU]
user32.GetSubMenu.argtypes = [wintypes.HMENU, ctypes.c_int]
user32.GetSubMenu.restype = wintypes.HMENU
user32.GetMenuDefaultItem.argtypes = [wintypes.HMENU, wintypes.UINT, wintypes.UINT]


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        time.sleep(0.01)


def looks(state: State, **changes: object) -> View:
    """The view of a plausible Ollama in that state."""
    return view(Facts(Status(state, version="0.9.3", pid=42, **changes), None, True, False, True, False))  # type: ignore[arg-type]


class Shown:
    """A `TrayIcon` that runs on a thread of its own, as it does on the program's main thread."""

    def __init__(self) -> None:
        self.commands: list[object] = []
        self.closes: list[bool] = []
        self._appeared = threading.Event()
        self._made = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._made.wait(DEADLINE_SECONDS)

    def _run(self) -> None:
        backend = icon.load(forced=False)
        self.tray = icon.TrayIcon(
            backend, looks(State.STOPPED), self.commands.append, self._appeared.set, self.closes.append
        )
        self.icon: Any = self.tray._backend.icon
        self._made.set()
        self.tray.run()

    @property
    def windows(self) -> tuple[int, int]:
        """The window of the icon and that of its menu, once they are there."""
        assert self._appeared.wait(DEADLINE_SECONDS)
        return self.icon._hwnd, self.icon._menu_hwnd

    @property
    def is_in_taskbar(self) -> bool:
        """Whether the taskbar knows the icon: only then can it be changed."""
        return bool(self.notify_taskbar(win32.NIM_MODIFY))

    def notify_taskbar(self, code: int) -> bool:
        """Tell the taskbar about the icon behind the program's back."""
        data = win32.NOTIFYICONDATAW(cbSize=ctypes.sizeof(win32.NOTIFYICONDATAW), hWnd=self.windows[0], uFlags=0)
        return bool(win32.Shell_NotifyIcon(code, data))

    def on_ui(self, action: Callable[[], None]) -> None:
        """Have `action` done on the icon's thread, and wait for its end."""
        done = threading.Event()

        def act() -> None:
            try:
                action()
            finally:
                done.set()

        self.icon.post(act)
        assert done.wait(DEADLINE_SECONDS)

    def end(self) -> None:
        """Stop it and see it end."""
        self.tray.stop()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module", autouse=True)
def desktop() -> None:
    """Wine starts Explorer, as our child, for the first program that wants a desktop. It is no test's own."""
    user32.GetDesktopWindow()


@pytest.fixture
def shown() -> Iterator[Shown]:
    """An icon in the taskbar."""
    made = Shown()
    try:
        eventually(lambda: made.is_in_taskbar, "the icon is in the taskbar")
        yield made
    finally:
        made.end()


def labels(menu: int) -> list[tuple[str, bool, bool]]:
    """Of each entry of a native menu, the label as Windows has it, and whether it is grey and bears a mark."""
    found = []
    for position in range(user32.GetMenuItemCount(menu)):
        state = user32.GetMenuState(menu, position, MF_BYPOSITION)
        text = ctypes.create_unicode_buffer(300)
        user32.GetMenuStringW(menu, position, text, 300, MF_BYPOSITION)
        is_submenu = bool(user32.GetSubMenu(menu, position))
        # The state of one with a submenu holds the number of its entries in the upper byte.
        flags = state & 0xFF if is_submenu else state
        found.append((text.value, bool(flags & MF_GRAYED), bool(flags & MF_CHECKED)))
    return found


def test_a_click_on_a_balloon_opens_what_the_newest_one_speaks_of(shown: Shown) -> None:
    log, data = Command(Act.OPEN_NEWEST_LOG), Command(Act.OPEN_LOGS)
    window, _ = shown.windows
    for kind, opens in zip(Kind, (log, None, data, None), strict=True):
        shown.tray.tell(Toast("Title", "Text", kind, opens=opens))
        # The balloon is on its way to the icon's thread before this is.
        shown.on_ui(lambda: None)
        user32.SendMessageW(window, win32.WM_NOTIFY, 0, NIN_BALLOONUSERCLICK)
    assert shown.commands == [log, data]


def test_it_goes_with_its_end(shown: Shown) -> None:
    window, menu_window = shown.windows
    shown.end()
    assert not user32.IsWindow(window)
    assert not user32.IsWindow(menu_window)


def test_the_native_menu_is_the_view_with_its_marks_and_greys(shown: Shown) -> None:
    wanted = looks(State.RUNNING)
    shown.tray.show(wanted)
    eventually(lambda: shown.icon.title == wanted.tooltip, "the view is painted")
    found: list[tuple[str, bool, bool]] = []
    shown.on_ui(lambda: found.extend(labels(shown.icon._menu_handle[0])))
    assert found == [(item.label, not item.enabled, bool(item.checked)) for item in wanted.items]
    assert ("Stop Ollama", False, False) in found
    assert ("Start this program at login", False, True) in found


def test_an_ampersand_is_one_and_underlines_nothing(shown: Shown) -> None:
    shown.tray.show(View(Look.UP, "R&D", (Item("rd", "R&D && more", enabled=False),)))
    eventually(lambda: shown.icon.title == "R&D", "the view is painted")
    found: list[tuple[str, bool, bool]] = []
    shown.on_ui(lambda: found.extend(labels(shown.icon._menu_handle[0])))
    assert found == [("R&&D &&&& more", True, False)]


@pytest.mark.parametrize("which", [0, 1])
def test_neither_window_vetoes_the_end_of_a_session(shown: Shown, which: int) -> None:
    """Windows asks each window of each program; one that says no keeps the user logged on."""
    window = shown.windows[which]
    assert user32.SendMessageW(window, WM_QUERYENDSESSION, 0, 0) == 1
    user32.SendMessageW(window, WM_ENDSESSION, 0, 0)
    assert shown.closes == []
    assert shown.is_in_taskbar


def test_the_end_of_a_session_is_told_once_though_every_window_gets_it(shown: Shown) -> None:
    for window in shown.windows:
        user32.SendMessageW(window, WM_ENDSESSION, 1, 0)
    assert shown.closes == [True]


@pytest.mark.parametrize("which", [0, 1])
def test_a_request_to_close_is_passed_on_and_costs_no_menu(shown: Shown, which: int) -> None:
    """`taskkill` without /F sends it to every window."""
    user32.SendMessageW(shown.windows[which], WM_CLOSE, 0, 0)
    assert shown.closes == [False]
    assert all(user32.IsWindow(window) for window in shown.windows)


def test_it_comes_back_when_explorer_starts_again(shown: Shown) -> None:
    window = shown.windows[0]
    assert shown.notify_taskbar(win32.NIM_DELETE)
    assert not shown.is_in_taskbar
    user32.SendMessageW(window, win32.WM_TASKBARCREATED, 0, 0)
    assert shown.is_in_taskbar
    # It is also sent when the taskbar only changed its scale, and still has the icon.
    user32.SendMessageW(window, win32.WM_TASKBARCREATED, 0, 0)
    assert shown.is_in_taskbar


@contextmanager
def deaf_taskbar() -> Iterator[list[int]]:
    """A window that Windows takes for the taskbar, and that takes no icons; yields the refused ones' messages."""
    refused: list[int] = []

    @win32.WNDPROC  # type: ignore[untyped-decorator]  # pystray has no types
    def answer(window: int, message: int, wparam: int, lparam: int) -> int:
        if message == WM_COPYDATA:
            refused.append(message)
            return 0
        return int(user32.DefWindowProcW(window, message, wparam, lparam))

    ready, over = threading.Event(), threading.Event()

    def run() -> None:
        instance = win32.GetModuleHandle(None)
        description = win32.WNDCLASSEX(
            cbSize=ctypes.sizeof(win32.WNDCLASSEX),
            lpfnWndProc=answer,
            hInstance=instance,
            lpszClassName="Shell_TrayWnd",
        )
        atom = win32.RegisterClassEx(description)
        window = win32.CreateWindowEx(WS_EX_TOPMOST, atom, None, win32.WS_POPUP, 0, 0, 0, 0, None, None, instance, None)
        ready.set()
        message = wintypes.MSG()
        while not over.is_set():
            while user32.PeekMessageW(ctypes.byref(message), None, 0, 0, 1):
                user32.DispatchMessageW(ctypes.byref(message))
            over.wait(0.01)
        win32.DestroyWindow(window)
        win32.UnregisterClass(atom, instance)

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(DEADLINE_SECONDS)
    try:
        yield refused
    finally:
        over.set()
        thread.join(DEADLINE_SECONDS)


def test_a_taskbar_that_is_not_ready_is_asked_again() -> None:
    with deaf_taskbar() as refused:
        made = Shown()
        try:
            eventually(lambda: len(refused) >= 2, "the icon is refused")
        except BaseException:
            made.end()
            raise
    try:
        eventually(lambda: made.is_in_taskbar, "the icon is in the taskbar")
    finally:
        made.end()


def test_a_thousand_changes_leave_no_object_behind(shown: Shown) -> None:
    """Windows gives a process 10,000 of either kind. Wine counts none, but both give a freed place to the next."""
    views = [looks(State.STOPPED), looks(State.RUNNING)]
    places: set[int] = set()

    def paint(times: int) -> None:
        for number in range(times):
            shown.tray._paint(views[number % 2])
            # The lower half of a handle is its place in the table.
            places.update((shown.icon._icon_handle & 0xFFFF, shown.icon._menu_handle[0] & 0xFFFF))

    def count() -> list[int]:
        return [user32.GetGuiResources(wintypes.HANDLE(-1), kind) for kind in (GDI_OBJECTS, USER_OBJECTS)]

    shown.on_ui(lambda: paint(50))
    before = count()
    shown.on_ui(lambda: paint(1000))
    assert all(now < then + 20 for now, then in zip(count(), before, strict=True))
    assert len(places) < 100


@pytest.fixture
def scale() -> Iterator[None]:
    """175 % for every program that starts under Wine. Windows takes a new scale on at the next login only."""
    with winreg.CreateKey(winreg.HKEY_CURRENT_USER, r"Control Panel\Desktop") as key:
        try:
            before = winreg.QueryValueEx(key, "LogPixels")
        except FileNotFoundError:
            before = None
        winreg.SetValueEx(key, "LogPixels", 0, winreg.REG_DWORD, 168)
        try:
            yield
        finally:
            if before:
                winreg.SetValueEx(key, "LogPixels", 0, before[1], before[0])
            else:
                winreg.DeleteValue(key, "LogPixels")


def test_it_is_drawn_in_the_trays_own_size_at_any_scale(scale: None) -> None:
    script = Path(__file__).with_name("measure_icon.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    wanted, drawn, awareness = done.stdout.split()
    assert wanted == drawn
    assert awareness == PER_MONITOR_AWARE
    if hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):
        assert drawn == "28"


def test_an_open_menu_is_not_rebuilt_and_does_not_hold_up_the_end(shown: Shown) -> None:
    window = shown.windows[0]
    win32.PostMessage(window, win32.WM_NOTIFY, 0, win32.WM_RBUTTONUP)
    eventually(lambda: shown.icon._open_menus, "the menu is open")
    before = shown.icon._menu_handle
    shown.tray.show(looks(State.RUNNING))
    eventually(lambda: shown.icon._calls.qsize(), "the new view is on its way")
    user32.SendMessageW(window, WM_CALLS, 0, 0)
    assert shown.icon._open_menus
    assert shown.icon._menu_handle == before
    shown.end()
    assert shown.icon.title == looks(State.RUNNING).tooltip
