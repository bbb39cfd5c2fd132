"""Windows' service control manager: look at a service, start and stop it. Elsewhere most calls raise OSError.

Not part of `core.platform` itself, which the shim imports. Everything blocks for some ms: call it in a thread. Errors
are OSErrors with the system's own text and `winerror`: 5 without the rights, 1060 for a service that is not there.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

NO_RIGHT = 5
NO_SERVICE = 1060
DISABLED = 1058
NOT_NOW = 1061


@dataclass(frozen=True, slots=True)
class Service:
    """A service as the manager shows it. `state` is the manager's: 1 stopped, 2 starting, 3 stopping, 4 running.

    `exit_code` is how its last run ended, as an error code of Windows, or the service's own. `restarts`: recovery is
    set so that the manager starts it again when its process ends without a word.
    """

    state: int
    pid: int | None
    exit_code: int
    restarts: bool


if sys.platform == "win32":
    import contextlib
    import ctypes
    import winreg
    from collections.abc import Iterator
    from ctypes import wintypes

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from typing import Any

    _CONNECT, _ENUMERATE = 0x0001, 0x0004
    _QUERY_CONFIG, _QUERY_STATUS, _START, _STOP = 0x0001, 0x0004, 0x0010, 0x0020
    _CONTROL_STOP = 1
    _STATUS_PROCESS_INFO = 0
    _FAILURE_ACTIONS = 2
    _ACTION_RESTART = 1
    _ALREADY_RUNNING = 1056
    _NOT_ACTIVE = 1062
    _SPECIFIC_ERROR = 1066
    _MORE_DATA = 234
    _OWN_PROCESS = 0x10
    _ACTIVE = 1
    _LIST_BYTES, _MOST_PARTS = 256 << 10, 4

    class _Status(ctypes.Structure):
        """SERVICE_STATUS_PROCESS."""

        _fields_ = [
            (name, wintypes.DWORD)
            for name in ("kind", "state", "accepts", "exit_code", "own_code", "checkpoint", "hint", "pid", "flags")
        ]

    class _Row(ctypes.Structure):
        """ENUM_SERVICE_STATUS_PROCESSW."""

        _fields_ = [("name", wintypes.LPWSTR), ("shown", wintypes.LPWSTR), ("status", _Status)]

    class _FailureActions(ctypes.Structure):
        """SERVICE_FAILURE_ACTIONSW; `actions` are pairs of kind and delay in milliseconds."""

        _fields_ = [
            ("reset", wintypes.DWORD),
            ("message", wintypes.LPWSTR),
            ("command", wintypes.LPWSTR),
            ("count", wintypes.DWORD),
            ("actions", ctypes.POINTER(wintypes.DWORD)),
        ]

    def _refuse_null(result: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result

    def _bind(name: str, result: Any, *arguments: Any) -> Any:
        function = ctypes.WinDLL("advapi32", use_last_error=True)[name]
        function.restype, function.argtypes, function.errcheck = result, arguments, _refuse_null
        return function

    _H, _D, _S, _P, _B = wintypes.HANDLE, wintypes.DWORD, wintypes.LPCWSTR, ctypes.c_void_p, wintypes.BOOL
    _open_manager = _bind("OpenSCManagerW", _H, _S, _S, _D)
    _open_service = _bind("OpenServiceW", _H, _H, _S, _D)
    _query_status = _bind("QueryServiceStatusEx", _B, _H, _D, _P, _D, ctypes.POINTER(_D))
    _query_config = _bind("QueryServiceConfig2W", _B, _H, _D, _P, _D, ctypes.POINTER(_D))
    _list_services = _bind("EnumServicesStatusExW", _B, _H, _D, _D, _D, _P, _D, *[ctypes.POINTER(_D)] * 3, _S)
    _start_service = _bind("StartServiceW", _B, _H, _D, _P)
    _control_service = _bind("ControlService", _B, _H, _D, _P)
    _close = _bind("CloseServiceHandle", _B, _H)

    @contextlib.contextmanager
    def _opened(name: str, access: int) -> Iterator[int]:
        manager = _open_manager(None, None, _CONNECT)
        try:
            service = _open_service(manager, name, access)
            try:
                yield service
            finally:
                _close(service)
        finally:
            _close(manager)

    def query(name: str) -> Service:
        """The service of that name, as any user may see it. Raises OSError."""
        with _opened(name, _QUERY_STATUS | _QUERY_CONFIG) as service:
            status, needed = _Status(), _D()
            size = ctypes.sizeof(status)
            _query_status(service, _STATUS_PROCESS_INFO, ctypes.byref(status), size, ctypes.byref(needed))
            code = status.own_code if status.exit_code == _SPECIFIC_ERROR else status.exit_code
            return Service(status.state, status.pid or None, code, _restarts(service))

    def _restarts(service: int) -> bool:
        memory, needed = ctypes.create_string_buffer(8192), _D()
        try:
            _query_config(service, _FAILURE_ACTIONS, memory, len(memory), ctypes.byref(needed))
        except OSError:
            return False
        found = _FailureActions.from_buffer(memory)
        return bool(found.count) and found.actions[0] == _ACTION_RESTART

    def services_of(pid: int) -> list[str]:
        """The names of the services whose own process that is, which they share with no other. Raises OSError."""
        found, memory = [], ctypes.create_string_buffer(_LIST_BYTES)
        needed, count, resume = _D(), _D(), _D()
        manager = _open_manager(None, None, _CONNECT | _ENUMERATE)
        try:
            # Wine goes on from the beginning each time.
            for _ in range(_MOST_PARTS):
                places = ctypes.byref(needed), ctypes.byref(count), ctypes.byref(resume)
                try:
                    _list_services(manager, 0, _OWN_PROCESS, _ACTIVE, memory, len(memory), *places, None)
                    is_last = True
                except OSError as error:
                    if error.winerror != _MORE_DATA:
                        raise
                    is_last = False
                rows = (_Row * count.value).from_buffer(memory)
                found += [row.name for row in rows if row.status.pid == pid]
                if is_last:
                    break
        finally:
            _close(manager)
        return found

    def start(name: str) -> None:
        """Have it started; fine if it runs. Does not wait. Raises OSError."""
        with _opened(name, _START) as service:
            try:
                _start_service(service, 0, None)
            except OSError as error:
                if error.winerror != _ALREADY_RUNNING:
                    raise

    def stop(name: str) -> None:
        """Ask it to stop; fine if it does not run. Does not wait. Raises OSError."""
        with _opened(name, _STOP) as service:
            try:
                _control_service(service, _CONTROL_STOP, ctypes.byref((_D * 7)()))
            except OSError as error:
                if error.winerror != _NOT_ACTIVE:
                    raise

    def variable(service: str, name: str) -> str | None:
        """That variable of a service's environment: its own, or the system's; None if neither has it."""
        own = rf"SYSTEM\CurrentControlSet\Services\{service}"
        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, own) as key:
            for line in winreg.QueryValueEx(key, "Environment")[0]:
                found, _, value = str(line).partition("=")
                if found.upper() == name.upper():
                    return value
        system = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, system) as key:
            return str(winreg.QueryValueEx(key, name)[0])
        return None

else:

    def query(name: str) -> Service:
        """Raise OSError: there are no services of Windows here."""
        raise OSError("Only Windows has such services")

    def services_of(pid: int) -> list[str]:
        """None: there are no services of Windows here."""
        return []

    def start(name: str) -> None:
        """Raise OSError: there are no services of Windows here."""
        raise OSError("Only Windows has such services")

    def stop(name: str) -> None:
        """Raise OSError: there are no services of Windows here."""
        raise OSError("Only Windows has such services")

    def variable(service: str, name: str) -> str | None:
        """None: there are no services of Windows here."""
        return None
