"""Windows: the Run key, the clipboard and the common file dialog. Contracts: `core.platform.desktop`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import time
import winreg
from collections.abc import Iterator, Sequence
from ctypes import wintypes

from core.platform.desktop import entry_text
from core.platform.desktop.note import Note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

assert sys.platform == "win32"

_RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
# Where Task Manager and Settings store what the user has switched off. No value means on.
_APPROVED = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
_VALUE = "AuraOllama"
_CF_UNICODETEXT = 13
_GMEM_MOVEABLE = 0x0002
_MESSAGES_ONLY = -3
_COPY_SECONDS = 1.0
_COPY_POLL_SECONDS = 0.01
_COINIT_APARTMENTTHREADED = 2
_OFN_HIDEREADONLY = 0x0000_0004
_OFN_NOCHANGEDIR = 0x0000_0008
_OFN_PATHMUSTEXIST = 0x0000_0800
_OFN_FILEMUSTEXIST = 0x0000_1000
_OFN_EXPLORER = 0x0008_0000
_OFN_DONTADDTORECENT = 0x0200_0000
_MB_SETFOREGROUND = 0x0001_0000
_LONGEST_PATH = 32_768
_FILTER = "Programs (*.exe)\0*.exe\0All files\0*.*\0"


class _OpenFileName(ctypes.Structure):
    """OPENFILENAMEW."""

    _fields_ = [
        ("size", wintypes.DWORD),
        ("owner", wintypes.HWND),
        ("instance", wintypes.HINSTANCE),
        ("filter", ctypes.c_void_p),
        ("custom_filter", ctypes.c_void_p),
        ("custom_filter_length", wintypes.DWORD),
        ("filter_index", wintypes.DWORD),
        ("file", ctypes.c_void_p),
        ("file_length", wintypes.DWORD),
        ("file_title", ctypes.c_void_p),
        ("file_title_length", wintypes.DWORD),
        ("initial_folder", wintypes.LPCWSTR),
        ("title", wintypes.LPCWSTR),
        ("flags", wintypes.DWORD),
        ("name_offset", wintypes.WORD),
        ("extension_offset", wintypes.WORD),
        ("default_extension", wintypes.LPCWSTR),
        ("hook_argument", ctypes.c_void_p),
        ("hook", ctypes.c_void_p),
        ("template", wintypes.LPCWSTR),
        ("reserved", ctypes.c_void_p),
        ("reserved_2", wintypes.DWORD),
        ("flags_2", wintypes.DWORD),
    ]


def _bind(library: ctypes.WinDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    return function


_user32 = ctypes.WinDLL("user32", use_last_error=True)
_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_comdlg32 = ctypes.WinDLL("comdlg32")
_ole32 = ctypes.WinDLL("ole32")
_B, _D, _H, _S, _P, _I = wintypes.BOOL, wintypes.DWORD, wintypes.HANDLE, wintypes.LPCWSTR, ctypes.c_void_p, ctypes.c_int

_create_window = _bind(_user32, "CreateWindowExW", _H, _D, _S, _S, _D, _I, _I, _I, _I, _H, _H, _H, _P)
_destroy_window = _bind(_user32, "DestroyWindow", _B, _H)
_open_clipboard = _bind(_user32, "OpenClipboard", _B, _H)
_close_clipboard = _bind(_user32, "CloseClipboard", _B)
_empty_clipboard = _bind(_user32, "EmptyClipboard", _B)
_set_clipboard_data = _bind(_user32, "SetClipboardData", _H, wintypes.UINT, _H)
_message_box = _bind(_user32, "MessageBoxW", _I, _H, _S, _S, wintypes.UINT)
_global_alloc = _bind(_kernel32, "GlobalAlloc", _H, wintypes.UINT, ctypes.c_size_t)
_global_free = _bind(_kernel32, "GlobalFree", _H, _H)
_global_lock = _bind(_kernel32, "GlobalLock", _P, _H)
_global_unlock = _bind(_kernel32, "GlobalUnlock", _B, _H)
_get_open_file_name = _bind(_comdlg32, "GetOpenFileNameW", _B, ctypes.POINTER(_OpenFileName))
_dialog_error = _bind(_comdlg32, "CommDlgExtendedError", _D)
_enter_com = _bind(_ole32, "CoInitializeEx", ctypes.c_long, _P, _D)
_leave_com = _bind(_ole32, "CoUninitialize", None)


def login_command() -> list[str]:
    # Neither of these opens a console window.
    return entry_text.login_command("aura-ollamaw.exe", "pythonw.exe")


def starts_at_login() -> bool:
    value = _read(_RUN)
    program = entry_text.run_value_program(value) if isinstance(value, str) else None
    # Twelve bytes: the first one is even for on (2, 6) and odd for off (3, 7); the rest is the time of the change.
    flag = _read(_APPROVED)
    is_switched_off = isinstance(flag, bytes) and bool(flag) and flag[0] % 2 == 1
    return program is not None and shutil.which(program) is not None and not is_switched_off


def _read(key: str) -> object:
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key) as opened:
            return winreg.QueryValueEx(opened, _VALUE)[0]
    except OSError:
        return None


def start_at_login(command: Sequence[str], icon: str | None = None) -> None:
    try:
        value = entry_text.run_value(command)
    except ValueError as error:
        raise OSError(str(error)) from error
    with _in_words(), winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
        winreg.SetValueEx(key, _VALUE, 0, winreg.REG_SZ, value)
    _delete(_APPROVED)


def stop_at_login() -> None:
    _delete(_RUN)
    _delete(_APPROVED)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise OSError(
            f"Windows does not let this account change what starts at login ({error.strerror}). Ask whoever manages "
            "this computer, or put a shortcut to the program into the folder that shell:startup opens."
        ) from error


def _delete(key: str) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        _in_words(),
        winreg.OpenKey(winreg.HKEY_CURRENT_USER, key, access=winreg.KEY_SET_VALUE) as opened,
    ):
        winreg.DeleteValue(opened, _VALUE)


def open_path(path: str) -> bool:
    path = os.path.abspath(path)
    # A program whose current folder is ours would keep an upgrade from replacing that folder.
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    try:
        os.startfile(path, cwd=folder)  # noqa: S606 - the user's own program is the purpose
    except OSError:
        return False
    return True


def open_url(url: str) -> bool:
    if not entry_text.is_web_address(url):
        return False
    try:
        os.startfile(url)  # noqa: S606 - the user's own browser is the purpose
    except OSError:
        return False
    return True


def copy_text(text: str) -> bool:
    content = text.encode("utf-16-le", "surrogatepass") + b"\0\0"
    try:
        with _clipboard():
            memory = _global_alloc(_GMEM_MOVEABLE, len(content))
            if not memory:
                return False
            ctypes.memmove(_global_lock(memory), content, len(content))
            _global_unlock(memory)
            if _set_clipboard_data(_CF_UNICODETEXT, memory):
                # The system owns the memory from here on.
                return True
            _global_free(memory)
            return False
    except OSError:
        return False


@contextlib.contextmanager
def _clipboard() -> Iterator[None]:
    """Open and empty the clipboard. Waits up to 1 s while another program has it open, then raises OSError."""
    # Emptying makes the given window the owner. Without an owner SetClipboardData fails.
    window = _create_window(0, "STATIC", None, 0, 0, 0, 0, 0, _MESSAGES_ONLY, None, None, None)
    if not window:
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        deadline = time.monotonic() + _COPY_SECONDS
        while not _open_clipboard(window):
            if time.monotonic() >= deadline:
                raise ctypes.WinError(ctypes.get_last_error())
            time.sleep(_COPY_POLL_SECONDS)
        try:
            _empty_clipboard()
            yield
        finally:
            _close_clipboard()
    finally:
        _destroy_window(window)


def choose_file(title: str, folder: str | None = None) -> str | None:
    file = ctypes.create_unicode_buffer(_LONGEST_PATH)
    shown = ctypes.create_unicode_buffer(_FILTER)
    request = _OpenFileName(
        size=ctypes.sizeof(_OpenFileName),
        filter=ctypes.addressof(shown),
        file=ctypes.addressof(file),
        file_length=_LONGEST_PATH,
        initial_folder=os.path.abspath(folder) if folder else None,
        title=title,
        flags=_OFN_EXPLORER
        | _OFN_FILEMUSTEXIST
        | _OFN_PATHMUSTEXIST
        | _OFN_NOCHANGEDIR
        | _OFN_HIDEREADONLY
        | _OFN_DONTADDTORECENT,
    )
    with _com():
        if _get_open_file_name(request):
            return file.value
        error = _dialog_error()
    if error:
        raise OSError(f"The file dialog failed (CommDlgExtendedError {error:#06x}).")
    return None


def close_dialogs() -> None:
    return


@contextlib.contextmanager
def _com() -> Iterator[None]:
    """Initialise COM on this thread, which shell extensions in the dialog need. Does nothing if it is already."""
    is_entered = _enter_com(None, _COINIT_APARTMENTTHREADED) >= 0
    try:
        yield
    finally:
        if is_entered:
            _leave_com()


def notify(title: str, text: str, icon: str = "") -> bool:
    # On Windows the tray icon itself shows toasts.
    return False


class Notifications:
    def show(self, note: Note) -> bool:
        return notify(note.title, note.text, note.icon)

    def close(self) -> None:
        return


def alert(title: str, text: str) -> bool:
    return bool(_message_box(None, text, title, _MB_SETFOREGROUND))


def has_screen() -> bool:
    return True


def session_has_tray() -> bool:
    return True
