"""Linux and macOS: identity, signals, files. Contracts: `core.platform`; the tree: `posix_tree`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys

assert sys.platform != "win32"

from core.platform.posix_tree import Tree as Tree  # noqa: E402 - on Windows the type checker stops above
from core.platform.posix_tree import end_orphans as end_orphans  # noqa: E402
from core.platform.posix_tree import has_guard as has_guard  # noqa: E402

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

EXECUTABLE_NAMES = ("ollama",)
GUARDED = True
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def known_executables() -> list[str]:
    """Where installers put Ollama: the Linux script's places, or the macOS app and Homebrew's two prefixes."""
    if sys.platform == "darwin":
        return [
            "/Applications/Ollama.app/Contents/Resources/ollama",
            "/opt/homebrew/bin/ollama",
            "/usr/local/bin/ollama",
        ]
    return ["/usr/local/bin/ollama", "/usr/bin/ollama"]


def birth(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None if no such process lives."""
    process = kernel.look(pid)
    return None if process is None else process.birth


def merged_environment(additions: dict[str, str]) -> dict[str, str]:
    """Our own environment with additions; names are exact."""
    return {**os.environ, **additions}


def kill(pid: int, birth: str) -> bool:
    """SIGKILL exactly that process; False if it is gone already."""
    return kernel.send_signal(pid, birth, signal.SIGKILL)


def keep_one_heap() -> None:
    """Have all threads share one heap, without large blocks: what is let go of otherwise stays, scattered."""
    kernel.keep_one_heap()


def stop_console(pid: int) -> int:
    """Windows' way to ask a console program to end; here signals do, and this is no command. Returns exit code 2."""
    return 2


def ask_shim(pid: int, birth: str, stop_event: str) -> bool:
    """SIGTERM a shim, which then stops its tree and ends; False if it is gone already. `stop_event` is Windows' way."""
    asked = kernel.send_signal(pid, birth, signal.SIGTERM)
    # A stopped shim acts on it only once it is continued.
    kernel.send_signal(pid, birth, signal.SIGCONT)
    return asked


def spawn_shim(argv: list[str], cwd: str, output: int) -> subprocess.Popen[bytes]:
    """Start a detached shim, leader of a new session, with stdout and stderr on the descriptor `output`.

    Raises OSError. The caller reaps it, or lets it go by setting `returncode`.
    """
    return subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def leave_bundle() -> None:
    """Have what a frozen program starts look for libraries where it would if it were not frozen.

    PyInstaller points the loader at its own folder, and notes what was there before. We ourselves do without: the
    loader of a process has read it before the first line runs.
    """
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before := os.environ.pop("LD_LIBRARY_PATH_ORIG", ""):
        os.environ["LD_LIBRARY_PATH"] = before


def make_private_dir(path: str) -> None:
    """Create the folder with its parents; only this user may enter it, also if it was there before.

    Raises OSError; PermissionError also if it is a link or another user's, who could undo whatever is done here.
    """
    os.makedirs(path, mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "This folder belongs to another user", path)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def open_private(path: str) -> int:
    """Open a file to read it. Raises OSError; with EPERM if it is no plain file, or others may write it.

    Root may write everything, so what belongs to root is as good as ours.
    """
    try:
        # Without O_NONBLOCK a planted FIFO would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PermissionError(errno.EPERM, "It is a link", path) from None
        raise
    status = os.fstat(file)
    is_ours = status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_ours and stat.S_ISREG(status.st_mode):
        return file
    os.close(file)
    raise PermissionError(errno.EPERM, "Another user may have written it", path)


def close_to_others(file: int) -> bool:
    """Take away what rights others have to an open file. False if they could have read it until now.

    True where the file system keeps no modes, since there no file is ever closed, not even a new one. Raises OSError.
    """
    if not os.fstat(file).st_mode & _OTHERS:
        return True
    try:
        os.fchmod(file, 0o600)
    except PermissionError:
        # Root's own.
        return False
    return bool(os.fstat(file).st_mode & _OTHERS)


def disown(path: str) -> None:
    """Delete a file that another user made there, or a link; one of ours stays. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if status.st_uid not in (os.geteuid(), 0) or not stat.S_ISREG(status.st_mode):
        os.unlink(path)


def replace_file(source: str, target: str) -> None:
    """Rename over `target`, atomically: rename(2)."""
    os.replace(source, target)


def unlink_file(path: str) -> bool:
    """Delete a file; True also if it was gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class ExitWatch:
    """Blocks one thread until a process that need not be our child has ended."""

    def __init__(self, pid: int, birth: str) -> None:
        self._pid = pid
        self._birth = birth
        self._cancelled, self._cancel = os.pipe()
        os.set_blocking(self._cancel, False)

    def wait(self) -> bool:
        """True once the process has ended (at once if it is not there), False if cancelled."""
        return kernel.wait_end(self._pid, self._birth, self._cancelled)

    def cancel(self) -> None:
        """End the wait. From any thread, any number of times."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._cancel, b".")

    def close(self) -> None:
        """Release the descriptors. No wait may be running."""
        os.close(self._cancelled)
        os.close(self._cancel)
