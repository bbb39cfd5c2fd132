"""Windows: process handles, named events and access lists. Contracts: `core.platform`; the tree: `windows_tree`."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

from core.platform import _win32api as win32
from core.platform.exit_watcher import ExitWatcher
from core.platform.windows_console import send_console_stop
from core.platform.windows_tree import Tree as Tree

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

EXECUTABLE_NAMES = ("ollama.exe",)
SYSTEM = "Windows"
GUARDED = False
# A program that starts for the first time waits for the virus scanner, and so does each file that it loads.
SHIM_SECONDS = 20.0
_KNOWN_EXECUTABLES = (
    ("ProgramFiles", r"Ollama\ollama.exe"),
    ("LOCALAPPDATA", r"Programs\Ollama\ollama.exe"),
    ("LOCALAPPDATA", r"Ollama\ollama.exe"),
)
_QUERY_ACCESS = win32.PROCESS_QUERY_LIMITED_INFORMATION | win32.SYNCHRONIZE
# MAXIMUM_WAIT_OBJECTS, for one call of WaitForMultipleObjects.
_MOST_WAITED_FOR = 64
_REPLACE_SECONDS = 2.0
_REPLACED_SECONDS = 0.2
_REPLACE_POLL_SECONDS = 0.01


def known_executables() -> list[str]:
    """Where Ollama's installers put it: for all users, then for this one. Places whose variable is unset are out."""
    places = ((os.environ.get(variable), tail) for variable, tail in _KNOWN_EXECUTABLES)
    return [os.path.join(folder, tail) for folder, tail in places if folder]


def forbids_programs(path: str) -> bool:
    """False: Windows has no `noexec` mounts."""
    return False


def says_gone(error: OSError) -> bool:
    """Whether this error of OpenProcess means that there is no such process, or none that we may query."""
    is_refused = error.winerror in (win32.ERROR_INVALID_PARAMETER, win32.ERROR_ACCESS_DENIED)
    return is_refused or isinstance(error, ProcessLookupError)


def _open_live(pid: int) -> win32.Handle | None:
    """A handle to that process, None if it has ended or we may not query it. While it is open the pid is not reused.

    Raises OSError for other failures, such as want of memory.
    """
    try:
        process = win32.open_process(pid, _QUERY_ACCESS)
    except OSError as error:
        if not says_gone(error):
            raise
        return None
    if win32.has_ended(process):
        process.close()
        return None
    return process


def _open_same(pid: int, birth: str) -> win32.Handle | None:
    # A process that may not be opened is another one: when we read the birth we could open it.
    process = _open_live(pid)
    if process is not None and win32.birth_of(process) != birth:
        process.close()
        return None
    return process


def birth(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None if no such process lives."""
    process = _open_live(pid)
    if process is None:
        return None
    with process:
        return win32.birth_of(process)


def merged_environment(additions: dict[str, str]) -> dict[str, str]:
    """Our own environment with additions; names ignore case, so an addition replaces what differs in case only."""
    return {**os.environ, **{name.upper(): value for name, value in additions.items()}}


def kill(pid: int, birth: str) -> bool:
    """TerminateProcess exactly that process; False if it is gone already. Raises OSError if it may not be ended.

    What it started lives on, except for a shim: its tree ends with it. Returns before the process is gone.
    """
    process = _open_same(pid, birth)
    if process is None:
        return False
    with process:
        try:
            with win32.open_process(pid, win32.PROCESS_TERMINATE) as victim:
                win32.terminate(victim)
        except PermissionError:
            # Windows refuses access also to a process that is just ending.
            if not win32.has_ended(process):
                raise
            return False
    return True


def keep_one_heap() -> None:
    """Nothing: on Windows a process has one heap."""


def stop_console(pid: int) -> int:
    """Send Ctrl-C to the console of `pid`. Returns an exit code. For a helper process: it loses its own console."""
    return 0 if send_console_stop(pid) else 1


def ask_shim(pid: int, birth: str, stop_event: str) -> bool:
    """Set a shim's stop event, whereupon it stops its tree and ends; False if it is gone already."""
    process = _open_same(pid, birth)
    if process is None:
        return False
    with process:
        try:
            with win32.open_event(stop_event) as event:
                win32.set_event(event)
        except FileNotFoundError:
            # The shim has closed its event: its tree has ended, and it is about to exit.
            return False
    return True


def has_guard(shim_pid: int, shim_birth: str) -> bool:
    """False: Windows needs no guard, since the job object ends the tree with its shim."""
    return False


def members(shim_pid: int, shim_birth: str) -> list[int]:
    """None that could be told: only the shim can ask its job."""
    return []


def end_orphans(shim_pid: int, shim_birth: str) -> list[int]:
    """An empty list: the job object leaves no orphans."""
    return []


def spawn_shim(argv: list[str], cwd: str, output: int) -> subprocess.Popen[bytes]:
    """Start a detached shim, outside our job and on a console of its own, with stdout and stderr on `output`.

    Raises OSError. If our job forbids CREATE_BREAKAWAY_FROM_JOB, the shim stays in it, and a warning is logged. A
    virtual environment's `python.exe` is only a launcher: then the pid returned is not the shim's, and the launcher
    holds `output` open until the shim ends.
    """

    def popen(flags: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            creationflags=subprocess.CREATE_NO_WINDOW | flags,
        )

    try:
        return popen(subprocess.CREATE_BREAKAWAY_FROM_JOB)
    except PermissionError:
        shim = popen(0)
    # Imported here, because the shim imports this module too and does not need `logging`.
    import logging

    logging.getLogger(__name__).warning(
        "The program that started us lets no process leave its job: Ollama ends with it and cannot be adopted later."
    )
    return shim


def leave_bundle() -> None:
    """Reset the DLL directory, so that children of a frozen program find the system's libraries.

    PyInstaller sets it to its own folder with SetDllDirectoryW, and children inherit it. Our own imports do without.
    """
    win32.reset_dll_directory()


def make_private_dir(path: str, *, parents: bool = True) -> None:
    """Create the folder with its parents; this user, SYSTEM and administrators alone may enter it and what is below.

    Also if it was there before. Parents that are missing are made too or, without `parents`, are a FileNotFoundError.
    Raises OSError, ENOTSUP where the file system keeps no access lists, as FAT does not;
    PermissionError also if it is a link or another user's, who could undo whatever is done here.
    """
    path = os.path.abspath(path)
    parent = os.path.dirname(path)
    if parents:
        os.makedirs(parent, exist_ok=True)
    elif not os.path.isdir(parent):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), parent)
    try:
        if not win32.keeps_access_lists(parent):
            raise OSError(
                errno.ENOTSUP, "It lies on a file system that keeps no rights, so other users could get at it"
            )
        win32.create_private_directory(path)
    except OSError as error:
        # What the system itself refuses does not say where.
        error.filename = error.filename or path
        raise


def check_private_dir(path: str) -> None:
    """Raise OSError if that folder cannot be private: ENOTSUP where the file system keeps no access lists.

    PermissionError if it is another user's, FileNotFoundError if there is none. Changes nothing.
    """
    status = os.stat(path)
    if not win32.keeps_access_lists(os.path.dirname(os.path.abspath(path))):
        raise OSError(
            errno.ENOTSUP, "It lies on a file system that keeps no rights, so other users could get at it", path
        )
    if who := who_else_may_write(path, status):
        raise PermissionError(errno.EPERM, f"It cannot be private: {who}", path)


def delete_if_foreign(path: str) -> None:
    """Nothing: in a folder that `make_private_dir` has closed no other user can create a file."""


def create_private(path: str) -> int:
    """Open a new file to write it, in a folder that `make_private_dir` has closed. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_BINARY | os.O_NOINHERIT, 0o600)


def open_private(path: str) -> int:
    """Open a file to read it. Raises OSError. Nobody else could have written it: its folder's access list is ours.

    While somebody replaces it, wait, 0.2 s at most; then raises PermissionError.
    """
    deadline = time.monotonic() + _REPLACED_SECONDS
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_REPLACE_POLL_SECONDS)


def close_to_others(file: int) -> bool:
    """True: files inherit the access list of their folder, which `make_private_dir` has closed."""
    return True


def is_closed_to_others(file: int) -> bool:
    """True, for the same reason."""
    return True


def replace_file(source: str, target: str) -> None:
    """Rename over `target`, atomically. While somebody has it open, wait, 2 s at most; then raises PermissionError."""
    deadline = time.monotonic() + _REPLACE_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except OSError as error:
            refused = error.winerror in (win32.ERROR_ACCESS_DENIED, win32.ERROR_SHARING_VIOLATION)
            if not refused or time.monotonic() >= deadline:
                raise
        time.sleep(_REPLACE_POLL_SECONDS)


def unlink_file(path: str) -> bool:
    """Delete a file, True also if it was gone already; False while somebody holds it open."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return True


def replace_private(source: str, target: str) -> None:
    """As `replace_file`: no other user can exchange a folder that `make_private_dir` has closed."""
    replace_file(source, target)


def unlink_private(path: str) -> bool:
    """As `unlink_file`, for the same reason."""
    return unlink_file(path)


def who_else_may_write(path: str, status: os.stat_result) -> str | None:
    """Who owns that file or folder, in words, if it is another user and no administrator; else None.

    The rights that its access list grants are not examined.
    """
    stranger = win32.stranger_who_owns(path)
    return None if stranger is None else f"it belongs to another user ({stranger})"


class EndPoll:
    """Waits for the ends of several processes by their handles. Contract: `core.platform.exit_watcher.EndPoll`."""

    def __init__(self) -> None:
        self._processes: dict[tuple[int, str], win32.Handle] = {}
        self._wake = win32.create_event()

    def add(self, pid: int, birth: str) -> bool:
        """Wait for that process too; False if it has ended already. Raises OSError if that cannot be known."""
        process = _open_same(pid, birth)
        if process is None:
            return False
        self._processes[pid, birth] = process
        return True

    def remove(self, pid: int, birth: str) -> None:
        """Wait no longer for that process."""
        self._processes.pop((pid, birth)).close()

    def wait(self, timeout: float | None) -> list[tuple[int, str]]:
        """Those that have ended; none after `timeout` seconds or `wake`."""
        win32.wait_any([self._wake, *self._processes.values()], timeout)
        ended = [known for known, process in self._processes.items() if win32.has_ended(process)]
        for known in ended:
            self.remove(*known)
        return ended

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        win32.set_event(self._wake)

    def close(self) -> None:
        """Release everything."""
        for known in list(self._processes):
            self.remove(*known)
        self._wake.close()


watch_end = ExitWatcher(EndPoll, _MOST_WAITED_FOR - 1).watch
