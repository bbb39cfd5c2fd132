"""The few Win32 calls that `windows` needs, typed: each raises OSError where the system refuses. Used by it only."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import sys
from collections.abc import Iterator, Sequence
from ctypes import wintypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

PROCESS_TERMINATE = 0x0001
PROCESS_SET_QUOTA = 0x0100
PROCESS_SUSPEND_RESUME = 0x0800
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
SYNCHRONIZE = 0x0010_0000
CREATE_SUSPENDED = 0x0000_0004
ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5
ERROR_SHARING_VIOLATION = 32
ERROR_INVALID_PARAMETER = 87

_ERROR_ALREADY_EXISTS = 183
_EVENT_MODIFY_STATE = 0x0002
_INFINITE = 0xFFFF_FFFF
_WAIT_TIMEOUT = 0x102
_WAIT_FAILED = 0xFFFF_FFFF
_TOKEN_QUERY = 0x0008
_TOKEN_USER = 1
_SDDL_REVISION_1 = 1
_SE_FILE_OBJECT = 1
_OWNER_SECURITY_INFORMATION = 0x0000_0001
_DACL_SECURITY_INFORMATION = 0x0000_0004
_PROTECTED_DACL_SECURITY_INFORMATION = 0x8000_0000
_SYSTEM = "S-1-5-18"
_ADMINISTRATORS = "S-1-5-32-544"
_ERROR_INSUFFICIENT_BUFFER = 122
_CLOSE_ATTEMPTS = 8
_FILE_LIST_DIRECTORY = 0x0000_0001
_FILE_READ_ATTRIBUTES = 0x0000_0080
_READ_CONTROL = 0x0002_0000
_FILE_SHARE_READ_WRITE = 0x0000_0003
_FILE_SHARE_DELETE = 0x0000_0004
_OPEN_EXISTING = 3
_FILE_FLAG_OPEN_REPARSE_POINT = 0x0020_0000
_FILE_FLAG_BACKUP_SEMANTICS = 0x0200_0000
_FILE_PERSISTENT_ACLS = 0x0000_0008
_FILE_ATTRIBUTE_TAG_INFO = 9
_FILE_ATTRIBUTE_DIRECTORY = 0x0000_0010
_FILE_ATTRIBUTE_REPARSE_POINT = 0x0000_0400
_REPARSE_TAG_NAME_SURROGATE = 0x2000_0000
_JOB_BASIC_ACCOUNTING = 1
_JOB_PROCESS_IDS = 3
_JOB_EXTENDED_LIMITS = 9
_JOB_KILL_ON_CLOSE = 0x2000


class _SecurityAttributes(ctypes.Structure):
    _fields_ = [
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    ]


class _JobLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION; only `flags` is ours to set."""

    _fields_ = [
        ("times", ctypes.c_int64 * 2),
        ("flags", wintypes.DWORD),
        ("working_set", ctypes.c_size_t * 2),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priorities", wintypes.DWORD * 2),
        ("io", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    ]


class _JobAccounting(ctypes.Structure):
    """JOBOBJECT_BASIC_ACCOUNTING_INFORMATION."""

    _fields_ = [
        ("times", ctypes.c_int64 * 4),
        ("page_faults", wintypes.DWORD),
        ("processes", wintypes.DWORD),
        ("active", wintypes.DWORD),
        ("terminated", wintypes.DWORD),
    ]


class _JobProcessIds(ctypes.Structure):
    """JOBOBJECT_BASIC_PROCESS_ID_LIST, with room for 256."""

    _fields_ = [
        ("assigned", wintypes.DWORD),
        ("listed", wintypes.DWORD),
        ("pids", ctypes.c_size_t * 256),
    ]


class _AttributeTag(ctypes.Structure):
    """FILE_ATTRIBUTE_TAG_INFO."""

    _fields_ = [
        ("attributes", wintypes.DWORD),
        ("reparse_tag", wintypes.DWORD),
    ]


def _refuse_null(result: int | None, function: Any, arguments: tuple[Any, ...]) -> int:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result


def _refuse_invalid(result: int | None, function: Any, arguments: tuple[Any, ...]) -> int:
    if result is None or result == ctypes.c_void_p(-1).value:
        raise ctypes.WinError(ctypes.get_last_error())
    return result


def _refuse_status(result: int, function: Any, arguments: tuple[Any, ...]) -> int:
    if result:
        raise ctypes.WinError(result)
    return result


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_ntdll = ctypes.WinDLL("ntdll")


def _bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any, check: Any = _refuse_null) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    if check is not None:
        function.errcheck = check
    return function


_B, _D, _H, _S, _P = wintypes.BOOL, wintypes.DWORD, wintypes.HANDLE, wintypes.LPCWSTR, ctypes.c_void_p
_PP, _PD = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(wintypes.DWORD)
# A FILETIME is two little-endian words, the lower first: one 64-bit number.
_PT = ctypes.POINTER(ctypes.c_uint64)

_close_handle = _bind(_kernel32, "CloseHandle", _B, _H, check=None)
_local_free = _bind(_kernel32, "LocalFree", _P, _P, check=None)
_open_process = _bind(_kernel32, "OpenProcess", _H, _D, _B, _D)
_get_process_id = _bind(_kernel32, "GetProcessId", _D, _H)
_get_process_times = _bind(_kernel32, "GetProcessTimes", _B, _H, _PT, _PT, _PT, _PT)
_terminate_process = _bind(_kernel32, "TerminateProcess", _B, _H, wintypes.UINT)
_get_current_process = _bind(_kernel32, "GetCurrentProcess", _H)
_wait = _bind(_kernel32, "WaitForMultipleObjects", _D, _D, ctypes.POINTER(_H), _B, _D, check=None)
_create_event = _bind(_kernel32, "CreateEventW", _H, ctypes.POINTER(_SecurityAttributes), _B, _B, _S)
_open_event = _bind(_kernel32, "OpenEventW", _H, _D, _B, _S)
_set_event = _bind(_kernel32, "SetEvent", _B, _H)
_create_job = _bind(_kernel32, "CreateJobObjectW", _H, _P, _S)
_set_job = _bind(_kernel32, "SetInformationJobObject", _B, _H, ctypes.c_int, _P, _D)
_query_job = _bind(_kernel32, "QueryInformationJobObject", _B, _H, ctypes.c_int, _P, _D, _P)
_assign_process = _bind(_kernel32, "AssignProcessToJobObject", _B, _H, _H)
_terminate_job = _bind(_kernel32, "TerminateJobObject", _B, _H, wintypes.UINT)
_create_directory = _bind(_kernel32, "CreateDirectoryW", _B, _S, ctypes.POINTER(_SecurityAttributes))
_create_file = _bind(_kernel32, "CreateFileW", _H, _S, _D, _D, _P, _D, _D, _H, check=_refuse_invalid)
_get_file_information = _bind(_kernel32, "GetFileInformationByHandleEx", _B, _H, ctypes.c_int, _P, _D)
_get_volume_path = _bind(_kernel32, "GetVolumePathNameW", _B, _S, wintypes.LPWSTR, _D)
_get_volume = _bind(_kernel32, "GetVolumeInformationW", _B, _S, _P, _D, _P, _P, _PD, _P, _D)
_set_dll_directory = _bind(_kernel32, "SetDllDirectoryW", _B, _S)
_open_token = _bind(_advapi32, "OpenProcessToken", _B, _H, _D, ctypes.POINTER(_H))
_get_token = _bind(_advapi32, "GetTokenInformation", _B, _H, ctypes.c_int, _P, _D, _PD)
_sid_to_text = _bind(_advapi32, "ConvertSidToStringSidW", _B, _P, _PP)
_parse_sddl = _bind(_advapi32, "ConvertStringSecurityDescriptorToSecurityDescriptorW", _B, _S, _D, _PP, _P)
_get_dacl = _bind(_advapi32, "GetSecurityDescriptorDacl", _B, _P, ctypes.POINTER(_B), _PP, ctypes.POINTER(_B))
_get_security = _bind(
    _advapi32, "GetSecurityInfo", _D, _H, ctypes.c_int, _D, _PP, _P, _P, _P, _PP, check=_refuse_status
)
_set_security = _bind(
    _advapi32, "SetNamedSecurityInfoW", _D, _S, ctypes.c_int, _D, _P, _P, _P, _P, check=_refuse_status
)
# The one call that resumes a process whose thread handle `subprocess` has closed; debuggers rely on it.
_resume_process = _bind(_ntdll, "NtResumeProcess", ctypes.c_long, _H, check=None)
_status_to_error = _bind(_ntdll, "RtlNtStatusToDosError", wintypes.ULONG, ctypes.c_long, check=None)


class Handle:
    """A kernel object held open, until `close` or the end of a `with` block. Never inherited by a child."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the object. A second call does nothing."""
        value, self.value = self.value, 0
        if value:
            _close_handle(value)


def open_process(pid: int, access: int) -> Handle:
    """Open a process, dead ones too as long as somebody holds them. While it is open its pid is not used again."""
    process = Handle(_open_process(access, False, pid))
    # Windows drops the two lowest bits of a pid, and so would open process 4 for pid 5.
    if access & PROCESS_QUERY_LIMITED_INFORMATION and _get_process_id(process.value) != pid:
        process.close()
        raise ProcessLookupError(f"No process has pid {pid}")
    return process


def birth_of(process: Handle) -> str:
    """The kernel's creation time, in 100 ns since 1601, unrounded."""
    created, exited, kernel, user = (ctypes.c_uint64() for _ in range(4))
    _get_process_times(process.value, created, exited, kernel, user)
    return str(created.value)


def terminate(process: Handle) -> None:
    """End a process at once with exit code 1. Returns before it is gone."""
    _terminate_process(process.value, 1)


def resume(process: Handle) -> None:
    """Let a process run that was created suspended."""
    status = _resume_process(process.value)
    if status < 0:
        raise ctypes.WinError(_status_to_error(status))


def wait_any(objects: Sequence[Handle], timeout: float | None) -> int | None:
    """Wait until one of the objects is signalled: its index, the lowest if several are; None after `timeout` seconds.

    Blocks the calling thread without the interpreter's lock. Ctrl-C does not end it.
    """
    milliseconds = _INFINITE if timeout is None else min(max(0, math.ceil(timeout * 1000)), _INFINITE - 1)
    handles = (_H * len(objects))(*(each.value for each in objects))
    result: int = _wait(len(objects), handles, False, milliseconds)
    if result == _WAIT_FAILED:
        raise ctypes.WinError(ctypes.get_last_error())
    return None if result == _WAIT_TIMEOUT else result


def has_ended(process: Handle) -> bool:
    """Whether the process has ended. Its exit code could not tell: 259 is a legal one."""
    return wait_any([process], 0) is not None


def create_event() -> Handle:
    """An event without a name; one wait consumes one setting."""
    return Handle(_create_event(None, False, False, None))


def create_named_event(name: str) -> Handle:
    """An event for this user alone; one wait consumes one setting. Raises OSError if the name is taken already."""
    with _security(f"D:P(A;;GA;;;{_user_sid()})") as security:
        ctypes.set_last_error(0)
        event = Handle(_create_event(security, False, False, name))
        if ctypes.get_last_error() == _ERROR_ALREADY_EXISTS:
            event.close()
            raise ctypes.WinError(_ERROR_ALREADY_EXISTS)
    return event


def open_event(name: str) -> Handle:
    """The event with that name, to set it."""
    return Handle(_open_event(_EVENT_MODIFY_STATE, False, name))


def set_event(event: Handle) -> None:
    """Signal an event."""
    _set_event(event.value)


def create_job() -> Handle:
    """A job whose processes cannot leave it and are killed when its last handle is closed."""
    job = Handle(_create_job(None, None))
    limits = _JobLimits(flags=_JOB_KILL_ON_CLOSE)
    _set_job(job.value, _JOB_EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))
    return job


def assign(job: Handle, process: Handle) -> None:
    """Put a process, and all it starts from now on, in the job."""
    _assign_process(job.value, process.value)


def active_processes(job: Handle) -> int:
    """How many live processes the job holds."""
    accounting = _JobAccounting()
    _query_job(job.value, _JOB_BASIC_ACCOUNTING, ctypes.byref(accounting), ctypes.sizeof(accounting), None)
    return int(accounting.active)


def job_pids(job: Handle) -> list[int]:
    """The pids of the live processes that the job holds, 256 at most. Raises OSError, also if there are more."""
    found = _JobProcessIds()
    _query_job(job.value, _JOB_PROCESS_IDS, ctypes.byref(found), ctypes.sizeof(found), None)
    return list(found.pids[: found.listed])


def terminate_job(job: Handle) -> None:
    """End all processes of the job at once with exit code 1. Returns before they are gone."""
    _terminate_job(job.value, 1)


def reset_dll_directory() -> None:
    """Take back what SetDllDirectory set, for this process and for what it starts from now on."""
    _set_dll_directory(None)


def create_private_directory(path: str) -> None:
    """Create a folder, or take over one that exists: this user, SYSTEM and administrators alone enter it and below.

    PermissionError (EPERM) also for a link, or another user's folder: its owner could undo whatever is done here.
    """
    with _security(f"D:P(A;OICI;FA;;;{_user_sid()})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)") as security:
        try:
            _create_directory(path, security)
        except FileExistsError:
            with _own_directory(path):
                _close_directory(path, security)


@contextlib.contextmanager
def _own_directory(path: str) -> Iterator[None]:
    """Hold a folder open, and so in its place, that is no link and belongs to nobody who is not trusted anyhow."""
    # Without leave to delete, nobody can rename it or put another one there while it is open.
    access = _FILE_LIST_DIRECTORY | _FILE_READ_ATTRIBUTES | _READ_CONTROL
    flags = _FILE_FLAG_OPEN_REPARSE_POINT | _FILE_FLAG_BACKUP_SEMANTICS
    with Handle(_create_file(path, access, _FILE_SHARE_READ_WRITE, None, _OPEN_EXISTING, flags, None)) as folder:
        found = _AttributeTag()
        _get_file_information(folder.value, _FILE_ATTRIBUTE_TAG_INFO, ctypes.byref(found), ctypes.sizeof(found))
        if _is_link(found):
            raise PermissionError(errno.EPERM, "This folder is a link", path)
        if not found.attributes & _FILE_ATTRIBUTE_DIRECTORY:
            raise FileExistsError(errno.EEXIST, "This is no folder", path)
        if _owner_sid(folder) not in (_user_sid(), _SYSTEM, _ADMINISTRATORS):
            raise PermissionError(errno.EPERM, "This folder belongs to another user", path)
        yield


def _is_link(found: _AttributeTag) -> bool:
    # A folder that a cloud keeps in step is a reparse point as well, and stands for nothing but itself.
    is_reparse_point = bool(found.attributes & _FILE_ATTRIBUTE_REPARSE_POINT)
    return is_reparse_point and bool(found.reparse_tag & _REPARSE_TAG_NAME_SURROGATE)


def _owner_sid(file: Handle) -> str:
    owner, descriptor = ctypes.c_void_p(), ctypes.c_void_p()
    _get_security(file.value, _SE_FILE_OBJECT, _OWNER_SECURITY_INFORMATION, owner, None, None, None, descriptor)
    try:
        return _sid_text(owner.value)
    finally:
        _local_free(descriptor)


def stranger_who_owns(path: str) -> str | None:
    """The SID of who owns a file or folder, None if it is this user, SYSTEM or the administrators. Follows links."""
    access, flags = _FILE_READ_ATTRIBUTES | _READ_CONTROL, _FILE_FLAG_BACKUP_SEMANTICS
    share = _FILE_SHARE_READ_WRITE | _FILE_SHARE_DELETE
    with Handle(_create_file(path, access, share, None, _OPEN_EXISTING, flags, None)) as file:
        owner = _owner_sid(file)
    return None if owner in (_user_sid(), _SYSTEM, _ADMINISTRATORS) else owner


def keeps_access_lists(path: str) -> bool:
    """Whether the volume that this path is on says who may do what, as NTFS does and FAT does not."""
    root = ctypes.create_unicode_buffer(len(path) + 2)
    _get_volume_path(path, root, len(root))
    flags = wintypes.DWORD()
    _get_volume(root.value, None, 0, None, None, flags, None, 0)
    return bool(flags.value & _FILE_PERSISTENT_ACLS)


def _close_directory(path: str, security: _SecurityAttributes) -> None:
    present, defaulted, dacl = wintypes.BOOL(), wintypes.BOOL(), ctypes.c_void_p()
    _get_dacl(security.descriptor, present, dacl, defaulted)
    kinds = _DACL_SECURITY_INFORMATION | _PROTECTED_DACL_SECURITY_INFORMATION
    for attempt in range(1, _CLOSE_ATTEMPTS + 1):
        try:
            _set_security(path, _SE_FILE_OBJECT, kinds, None, None, dacl, None)
            return
        except OSError as error:
            # It asks for the size of the old list, then for the list: somebody may set a longer one in between.
            if error.winerror != _ERROR_INSUFFICIENT_BUFFER or attempt == _CLOSE_ATTEMPTS:
                raise


@contextlib.contextmanager
def _security(sddl: str) -> Iterator[_SecurityAttributes]:
    descriptor = ctypes.c_void_p()
    _parse_sddl(sddl, _SDDL_REVISION_1, descriptor, None)
    try:
        yield _SecurityAttributes(ctypes.sizeof(_SecurityAttributes), descriptor, False)
    finally:
        _local_free(descriptor)


def _user_sid() -> str:
    token_value = wintypes.HANDLE()
    _open_token(_get_current_process(), _TOKEN_QUERY, token_value)
    with Handle(token_value.value or 0) as token:
        # TOKEN_USER begins with a pointer to the SID, which lies behind it; 256 bytes hold the longest.
        user = (ctypes.c_void_p * 32)()
        _get_token(token.value, _TOKEN_USER, user, ctypes.sizeof(user), wintypes.DWORD())
    return _sid_text(user[0])


def _sid_text(sid: int | None) -> str:
    text = ctypes.c_void_p()
    _sid_to_text(sid, text)
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        _local_free(text)
