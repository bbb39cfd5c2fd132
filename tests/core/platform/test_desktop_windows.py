"""The Windows half of `core.platform.desktop`: the real registry, clipboard and file dialog."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
import winreg
from collections.abc import Callable, Iterator
from ctypes import wintypes
from pathlib import Path

import pytest

from core.platform import desktop

assert sys.platform == "win32"

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
APPROVED = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
VALUE = "AuraOllama"
DEADLINE_SECONDS = 60.0
CF_UNICODETEXT = 13
WM_SETTEXT = 0x000C
WM_COMMAND = 0x0111
IDOK, IDCANCEL = 1, 2
# The field for the file's name: cmb13 in newer dialogs, edt1 in older ones.
NAME_FIELDS = (0x047C, 0x0480)
NASTY = "a b\t\"d\" 'e' %PATH% $x é 𝄞 \\ \r\nend"

user32 = ctypes.WinDLL("user32", use_last_error=True)
kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
user32.OpenClipboard.argtypes = [wintypes.HWND]
user32.GetClipboardData.argtypes = [wintypes.UINT]
user32.GetClipboardData.restype = wintypes.HANDLE
user32.FindWindowW.argtypes = [wintypes.LPCWSTR, wintypes.LPCWSTR]
user32.FindWindowW.restype = wintypes.HWND
user32.GetDlgItem.argtypes = [wintypes.HWND, ctypes.c_int]
user32.GetDlgItem.restype = wintypes.HWND
user32.SendMessageW.argtypes = [wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPCWSTR]
user32.PostMessageW.argtypes = [wintypes.HWND, wintypes.UINT, wintypes.WPARAM, wintypes.LPARAM]
user32.IsWindowVisible.argtypes = [wintypes.HWND]
kernel32.GlobalLock.argtypes = [wintypes.HANDLE]
kernel32.GlobalLock.restype = ctypes.c_void_p
kernel32.GlobalUnlock.argtypes = [wintypes.HANDLE]


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        time.sleep(0.01)


# ---- start at login


def read(key: str) -> tuple[object, int] | None:
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key) as opened:
            return winreg.QueryValueEx(opened, VALUE)
    except FileNotFoundError:
        return None


def write(key: str, value: object, kind: int) -> None:
    with winreg.CreateKey(winreg.HKEY_CURRENT_USER, key) as opened:
        winreg.SetValueEx(opened, VALUE, 0, kind, value)  # type: ignore[call-overload]


def delete(key: str) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        winreg.OpenKey(winreg.HKEY_CURRENT_USER, key, access=winreg.KEY_SET_VALUE) as opened,
    ):
        winreg.DeleteValue(opened, VALUE)


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Begin without an entry; give this user's own back at the end."""
    before = {key: read(key) for key in (RUN, APPROVED)}
    for key in before:
        delete(key)
    yield
    for key, found in before.items():
        delete(key)
        if found is not None:
            write(key, *found)


def test_start_at_login_can_be_switched_on_and_off() -> None:
    assert not desktop.starts_at_login()
    desktop.start_at_login([sys.executable, "-m", "tray"])
    assert desktop.starts_at_login()
    desktop.start_at_login([sys.executable, "-m", "tray"])
    assert desktop.starts_at_login()
    desktop.stop_at_login()
    assert not desktop.starts_at_login()
    assert read(RUN) is None
    desktop.stop_at_login()


def test_the_run_value_is_a_quoted_command_line(tmp_path: Path) -> None:
    program = tmp_path / "100% a & b" / "aura-ollama.exe"
    program.parent.mkdir()
    program.touch()
    desktop.start_at_login([str(program), "-x"])
    assert read(RUN) == (f'"{program}" -x', winreg.REG_SZ)
    assert desktop.starts_at_login()
    program.unlink()
    assert not desktop.starts_at_login()


def test_a_stale_entry_is_replaced() -> None:
    write(RUN, 7, winreg.REG_DWORD)
    assert not desktop.starts_at_login()
    desktop.start_at_login([sys.executable])
    assert desktop.starts_at_login()


@pytest.mark.parametrize(("first", "is_on"), [(2, True), (6, True), (3, False), (7, False)])
def test_what_task_manager_switched_off_is_off_until_switched_on_here(first: int, is_on: bool) -> None:
    desktop.start_at_login([sys.executable])
    write(APPROVED, bytes([first]) + bytes(11), winreg.REG_BINARY)
    assert desktop.starts_at_login() is is_on
    desktop.start_at_login([sys.executable])
    assert desktop.starts_at_login()
    assert read(APPROVED) is None


def test_switching_off_forgets_what_task_manager_noted() -> None:
    write(APPROVED, bytes([3]) + bytes(11), winreg.REG_BINARY)
    desktop.stop_at_login()
    assert read(APPROVED) is None


def test_a_command_longer_than_windows_reads_is_refused_and_nothing_written() -> None:
    with pytest.raises(OSError, match="260"):
        desktop.start_at_login(["C:\\" + "a" * 260])
    assert read(RUN) is None


def test_the_login_command_opens_no_console() -> None:
    program, *rest = desktop.login_command()
    assert Path(program).is_absolute()
    assert Path(program).is_file()
    assert (Path(program).name, rest) in (
        ("aura-ollamaw.exe", []),
        ("pythonw.exe", ["-P", "-m", "tray"]),
        # Neither is there in an embedded Python.
        ("python.exe", ["-P", "-m", "tray"]),
    )


# ---- clipboard


def pasted() -> str:
    eventually(lambda: user32.OpenClipboard(None), "the clipboard opens")
    try:
        memory = user32.GetClipboardData(CF_UNICODETEXT)
        assert memory
        pointer = kernel32.GlobalLock(memory)
        try:
            return ctypes.wstring_at(pointer)
        finally:
            kernel32.GlobalUnlock(memory)
    finally:
        user32.CloseClipboard()


@pytest.mark.parametrize("text", ["http://127.0.0.1:5006", NASTY, "", "x" * 100_000])
def test_a_text_is_on_the_clipboard_exactly(text: str) -> None:
    assert desktop.copy_text("before")
    assert desktop.copy_text(text)
    assert pasted() == text


def test_a_copy_waits_for_another_program_to_close_the_clipboard() -> None:
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        assert user32.OpenClipboard(None)
        taken.set()
        release.wait(DEADLINE_SECONDS)
        user32.CloseClipboard()

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(DEADLINE_SECONDS)
    began = time.monotonic()
    assert not desktop.copy_text("too late")
    assert 0.9 < time.monotonic() - began < 3
    # Released while the next one waits.
    threading.Timer(0.2, release.set).start()
    assert desktop.copy_text("in time")
    holder.join()
    assert pasted() == "in time"


# ---- file dialog


class Dialog:
    """`choose_file` in a thread of its own, and a person's hands on what it shows."""

    def __init__(self, title: str, folder: str | None) -> None:
        self._title = title
        self.answer: list[str | None] = []
        self._thread = threading.Thread(target=lambda: self.answer.append(desktop.choose_file(title, folder)))
        self._thread.start()
        eventually(self._is_ready, "the dialog is shown")
        self._window = self._find()

    def _find(self) -> int:
        return user32.FindWindowW("#32770", self._title) or 0

    def _is_ready(self) -> bool:
        window = self._find()
        return bool(window and user32.IsWindowVisible(window))

    def type(self, name: str) -> None:
        field = next(filter(None, (user32.GetDlgItem(self._window, number) for number in NAME_FIELDS)))
        user32.SendMessageW(field, WM_SETTEXT, 0, name)

    def press(self, button: int) -> str | None:
        user32.PostMessageW(self._window, WM_COMMAND, button, 0)
        self._thread.join(DEADLINE_SECONDS)
        (answer,) = self.answer
        return answer


def test_the_chosen_file_is_returned(tmp_path: Path) -> None:
    """It begins in the folder asked for, and leaves the working folder as it was."""
    (tmp_path / "é ollama.exe").touch()
    here = os.getcwd()  # noqa: PTH109 - the text itself is compared
    dialog = Dialog("Choose – test", str(tmp_path))
    dialog.type("é ollama.exe")
    answer = dialog.press(IDOK)
    assert answer is not None
    assert Path(answer) == tmp_path / "é ollama.exe"
    assert os.getcwd() == here  # noqa: PTH109


def test_a_cancelled_dialog_chooses_nothing() -> None:
    assert Dialog("Cancel – test", None).press(IDCANCEL) is None


# ---- the rest


def test_a_path_that_is_not_there_is_not_opened(tmp_path: Path) -> None:
    assert not desktop.open_path(str(tmp_path / "gone"))


@pytest.mark.parametrize("what", [r"C:\Windows\notepad.exe", "ms-settings:", "https://x y"])
def test_what_is_no_web_address_is_not_opened(what: str) -> None:
    assert not desktop.open_url(what)


def test_what_is_opened_does_not_stand_in_our_folder(tmp_path: Path) -> None:
    """Windows would not let an upgrade replace it."""
    script, said = tmp_path / "stands.bat", tmp_path / "where.txt"
    script.write_text(f'@cd > "{said}"\n')
    assert desktop.open_path(str(script))
    deadline = time.monotonic() + 10
    while not (said.exists() and said.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert Path(said.read_text().strip()) == tmp_path


def test_toasts_are_the_icon_s_business_and_a_tray_is_always_there() -> None:
    assert not desktop.notify("x", "y")
    assert desktop.session_has_tray()
