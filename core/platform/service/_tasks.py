"""Windows' Task Scheduler through its COM interfaces (taskschd.h): register, read, run, stop and delete a task.

Its program schtasks.exe prints in the language of the system; this answers by HRESULTs. Each call is a slot of the
interface's table of methods, counted from IUnknown and IDispatch on, whose seven come first.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import wintypes

assert sys.platform == "win32"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CREATE_OR_UPDATE = 6
INTERACTIVE_TOKEN = 3
RUNNING = 4
_FILE_NOT_FOUND = 0x8007_0002 - (1 << 32)
_CLSID = "{0F87369F-A4E5-4CFC-BD3E-73E6154572DD}"
_ITASKSERVICE = "{2FABA4C7-4DA9-4013-9697-20CC3FD40F85}"
_INPROC = 1
_COINIT_APARTMENTTHREADED = 2


class _Variant(ctypes.Structure):
    """VARIANT; all zeros is VT_EMPTY."""

    _fields_ = [("kind", ctypes.c_uint16), ("reserved", ctypes.c_uint16 * 3), ("value", ctypes.c_uint64 * 2)]


_ole32 = ctypes.OleDLL("ole32")
_oleaut32 = ctypes.OleDLL("oleaut32")
_alloc_string = ctypes.WinDLL("oleaut32").SysAllocString
_alloc_string.restype = ctypes.c_void_p
_alloc_string.argtypes = [wintypes.LPCWSTR]
_free_string = ctypes.WinDLL("oleaut32").SysFreeString
_free_string.restype = None
_free_string.argtypes = [ctypes.c_void_p]
_EMPTY = _Variant()


class _Object:
    """A COM object, released at the end of a `with`."""

    def __init__(self, pointer: int | None) -> None:
        self.pointer = ctypes.c_void_p(pointer)

    def __enter__(self) -> _Object:
        return self

    def __exit__(self, *_: object) -> None:
        self.call(2)

    def call(self, slot: int, *arguments: Any) -> int:
        """Call that method. Raises OSError for a HRESULT that is a failure; `winerror` is it."""
        table = ctypes.cast(self.pointer, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
        kinds = [type(argument) for argument in arguments]
        # IUnknown::Release (2) returns a count.
        result = ctypes.c_ulong if slot == 2 else ctypes.HRESULT
        method = ctypes.WINFUNCTYPE(result, ctypes.c_void_p, *kinds)(table[slot])
        return int(method(self.pointer, *arguments))

    def made(self, slot: int, *arguments: Any) -> _Object:
        """The object that this method makes as its last argument."""
        made = ctypes.c_void_p()
        self.call(slot, *arguments, _Out(made))
        return _Object(made.value)


def _Out(place: Any) -> ctypes.c_void_p:  # noqa: N802 - reads as the direction of the argument
    return ctypes.c_void_p(ctypes.addressof(place))


@contextmanager
def _string(text: str) -> Iterator[ctypes.c_void_p]:
    """A BSTR."""
    memory = _alloc_string(text)
    try:
        yield ctypes.c_void_p(memory)
    finally:
        _free_string(memory)


@contextmanager
def _folder() -> Iterator[_Object]:
    """The root folder of the tasks (ITaskFolder)."""
    _ole32.CoInitializeEx(None, _COINIT_APARTMENTTHREADED)
    try:
        clsid, iid = ctypes.create_string_buffer(16), ctypes.create_string_buffer(16)
        _ole32.CLSIDFromString(ctypes.c_wchar_p(_CLSID), clsid)
        _ole32.CLSIDFromString(ctypes.c_wchar_p(_ITASKSERVICE), iid)
        pointer = ctypes.c_void_p()
        _ole32.CoCreateInstance(clsid, None, _INPROC, iid, ctypes.byref(pointer))
        with _Object(pointer.value) as service:
            service.call(10, _EMPTY, _EMPTY, _EMPTY, _EMPTY)
            with _string("\\") as root, service.made(7, root) as folder:
                yield folder
    finally:
        ctypes.WinDLL("ole32").CoUninitialize()


@contextmanager
def _task(name: str) -> Iterator[_Object | None]:
    with _folder() as folder, _string(name) as path:
        try:
            task = folder.made(13, path)
        except OSError as error:
            if error.winerror != _FILE_NOT_FOUND:
                raise
            yield None
            return
        with task:
            yield task


def xml(name: str) -> str | None:
    """The description of that task, None if there is none. Raises OSError."""
    with _task(name) as task:
        if task is None:
            return None
        text = ctypes.c_void_p()
        task.call(20, _Out(text))
        try:
            return ctypes.wstring_at(text.value) if text.value else ""
        finally:
            _free_string(text)


def register(name: str, text: str) -> None:
    """Make that task, or replace it, for the user who is logged on. Raises OSError."""
    with _folder() as folder, _string(name) as path, _string(text) as description:
        made = folder.made(
            16,
            path,
            description,
            ctypes.c_long(CREATE_OR_UPDATE),
            _EMPTY,
            _EMPTY,
            ctypes.c_int(INTERACTIVE_TOKEN),
            _EMPTY,
        )
        with made:
            pass


def delete(name: str) -> None:
    """Delete that task; fine if there is none. Raises OSError."""
    with _folder() as folder, _string(name) as path:
        try:
            folder.call(15, path, ctypes.c_long(0))
        except OSError as error:
            if error.winerror != _FILE_NOT_FOUND:
                raise


def run(name: str) -> None:
    """Start that task now. Raises OSError."""
    with _task(name) as task:
        if task is not None:
            with task.made(12, _EMPTY):
                pass


def stop(name: str) -> None:
    """End its program, without a chance to clean up. Raises OSError."""
    with _task(name) as task:
        if task is not None:
            task.call(23, ctypes.c_long(0))


def runs(name: str) -> bool | None:
    """Whether its program runs; None if there is no such task. Raises OSError."""
    with _task(name) as task:
        if task is None:
            return None
        state = ctypes.c_int()
        task.call(9, _Out(state))
        return state.value == RUNNING


def is_enabled(name: str) -> bool:
    """Whether it is there and not switched off. Raises OSError."""
    with _task(name) as task:
        if task is None:
            return False
        flag = ctypes.c_int16()
        task.call(10, _Out(flag))
        return bool(flag.value)
