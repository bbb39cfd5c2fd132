"""A real Windows service that runs an Ollama, as a wrapper such as NSSM does: `make` it, and `remove` it.

Run as a program it is the service itself. It starts `ollama serve`, ends it when it is told to stop, and reports an
error if it ended by itself.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

NAME = "AuraTestOllama"

if sys.platform == "win32":
    import winreg
    from ctypes import wintypes

    _advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
    _ALL, _OWN_PROCESS, _ON_DEMAND, _NORMAL = 0xF003F, 0x10, 3, 1
    _STOPPED, _RUNNING, _ACCEPT_STOP = 1, 4, 1
    _CRASHED = 1067

    class _Status(ctypes.Structure):
        _fields_ = [
            (name, wintypes.DWORD) for name in ("kind", "state", "accepts", "code", "own_code", "checkpoint", "hint")
        ]

    _MAIN = ctypes.WINFUNCTYPE(None, wintypes.DWORD, ctypes.POINTER(wintypes.LPWSTR))
    _HANDLER = ctypes.WINFUNCTYPE(wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p)

    class _Entry(ctypes.Structure):
        _fields_ = [("name", wintypes.LPWSTR), ("main", _MAIN)]

    _functions: dict[str, list[Any]] = {
        "OpenSCManagerW": [wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD],
        "CreateServiceW": [
            wintypes.HANDLE,
            *[wintypes.LPCWSTR] * 2,
            *[wintypes.DWORD] * 4,
            *[wintypes.LPCWSTR] * 2,
            ctypes.c_void_p,
            *[wintypes.LPCWSTR] * 3,
        ],
        "OpenServiceW": [wintypes.HANDLE, wintypes.LPCWSTR, wintypes.DWORD],
        "DeleteService": [wintypes.HANDLE],
        "CloseServiceHandle": [wintypes.HANDLE],
        "RegisterServiceCtrlHandlerExW": [wintypes.LPCWSTR, _HANDLER, ctypes.c_void_p],
        "SetServiceStatus": [wintypes.HANDLE, ctypes.c_void_p],
    }
    for _name, _kinds in _functions.items():
        _advapi32[_name].argtypes = _kinds
        _advapi32[_name].restype = wintypes.HANDLE if _name[:3] in ("Ope", "Cre", "Reg") else wintypes.BOOL

    def make(executable: Path, host: str, home: Path) -> None:
        """Create the service, which does not run yet. Raises OSError."""
        words = [sys.executable, "-I", "-S", __file__, str(executable), host, str(home)]
        manager = _checked(_advapi32.OpenSCManagerW(None, None, _ALL))
        try:
            command = subprocess.list2cmdline(words)
            options = (NAME, NAME, _ALL, _OWN_PROCESS, _ON_DEMAND, _NORMAL, command, None, None, None, None, None)
            _advapi32.CloseServiceHandle(_checked(_advapi32.CreateServiceW(manager, *options)))
        finally:
            _advapi32.CloseServiceHandle(manager)
        # What the service gets from Windows, and what anybody may read of it.
        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"SYSTEM\CurrentControlSet\Services\{NAME}") as key:
            winreg.SetValueEx(key, "Environment", 0, winreg.REG_MULTI_SZ, [f"OLLAMA_HOST={host}"])

    def remove() -> None:
        """Delete the service, once it has stopped. Raises OSError."""
        manager = _checked(_advapi32.OpenSCManagerW(None, None, _ALL))
        try:
            service = _checked(_advapi32.OpenServiceW(manager, NAME, _ALL))
            _checked(_advapi32.DeleteService(service))
            _advapi32.CloseServiceHandle(service)
        finally:
            _advapi32.CloseServiceHandle(manager)

    def _checked(result: Any) -> Any:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result

    def _serve(executable: str, host: str, home: str) -> None:
        """What the manager starts: its dispatcher calls `main` on a thread, and the handler on this one."""
        asked = threading.Event()

        def handle(control: int, *_: Any) -> int:
            if control == 1:
                asked.set()
                ollama.terminate()
            return 0

        handler = _HANDLER(handle)

        def main(count: int, words: Any) -> None:
            handle = _advapi32.RegisterServiceCtrlHandlerExW(NAME, handler, None)

            def report(state: int, code: int = 0) -> None:
                status = _Status(_OWN_PROCESS, state, _ACCEPT_STOP, code, 0, 0, 0)
                _advapi32.SetServiceStatus(handle, ctypes.byref(status))

            report(_RUNNING)
            ollama.wait()
            report(_STOPPED, 0 if asked.is_set() else _CRASHED)

        env = os.environ | {"OLLAMA_HOST": host, "HOME": home, "USERPROFILE": home, "OLLAMA_MODELS": home + r"\models"}
        quiet = subprocess.DEVNULL
        ollama = subprocess.Popen([executable, "serve"], env=env, stdin=quiet, stdout=quiet, stderr=quiet)
        entries = (_Entry * 2)(_Entry(NAME, _MAIN(main)), _Entry(None, _MAIN()))
        _advapi32.StartServiceCtrlDispatcherW(entries)

    if __name__ == "__main__":
        _serve(*sys.argv[1:])
