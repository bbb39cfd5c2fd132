"""Linux and macOS: identity, signals, files. Contracts: `core.platform`; the tree: `posix_tree`."""

from __future__ import annotations

import os
import signal
import sys

assert sys.platform != "win32"

from core.platform.exit_watcher import ExitWatcher  # noqa: E402 - on Windows the type checker stops above
from core.platform.posix_files import check_private_dir as check_private_dir  # noqa: E402
from core.platform.posix_files import close_to_others as close_to_others  # noqa: E402
from core.platform.posix_files import create_private as create_private  # noqa: E402
from core.platform.posix_files import delete_if_foreign as delete_if_foreign  # noqa: E402
from core.platform.posix_files import is_closed_to_others as is_closed_to_others  # noqa: E402
from core.platform.posix_files import make_private_dir as make_private_dir  # noqa: E402
from core.platform.posix_files import open_private as open_private  # noqa: E402
from core.platform.posix_files import replace_private as replace_private  # noqa: E402
from core.platform.posix_files import unlink_private as unlink_private  # noqa: E402
from core.platform.posix_files import who_else_may_write as who_else_may_write  # noqa: E402
from core.platform.posix_members import end_orphans as end_orphans  # noqa: E402
from core.platform.posix_members import has_guard as has_guard  # noqa: E402
from core.platform.posix_members import members as members  # noqa: E402
from core.platform.posix_tree import Tree as Tree  # noqa: E402

if sys.platform == "darwin":
    from core.platform import darwin as kernel
else:
    from core.platform import linux as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

EXECUTABLE_NAMES = ("ollama",)
SYSTEM = "macOS" if sys.platform == "darwin" else "Linux"
GUARDED = True
SHIM_SECONDS = 10.0


def known_executables() -> list[str]:
    """Where installers put Ollama: the Linux script's places, or the macOS app and Homebrew's two prefixes."""
    if sys.platform == "darwin":
        return [
            "/Applications/Ollama.app/Contents/Resources/ollama",
            "/opt/homebrew/bin/ollama",
            "/usr/local/bin/ollama",
        ]
    return ["/usr/local/bin/ollama", "/usr/bin/ollama"]


def forbids_programs(path: str) -> bool:
    """Whether what lies there cannot be run, because its disk is mounted so (`noexec`). False where nobody can tell."""
    try:
        return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))
    except OSError:
        return False


def birth(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None if no such process lives."""
    process = kernel.read_process(pid)
    return None if process is None else process.birth


def merged_environment(additions: dict[str, str]) -> dict[str, str]:
    """Our own environment with additions; names are exact."""
    return {**os.environ, **additions}


def kill(pid: int, birth: str) -> bool:
    """SIGKILL exactly that process; False if it is gone already."""
    return kernel.send_signal(pid, birth, signal.SIGKILL)


def keep_one_heap() -> None:
    """Have all threads share one heap, and keep large blocks out of it, so that freed memory is returned."""
    kernel.keep_one_heap()


def stop_console(pid: int) -> int:
    """Returns exit code 2, "unknown command": only Windows needs a helper process to ask a program to end."""
    return 2


def ask_shim(pid: int, birth: str, stop_event: str) -> bool:
    """SIGTERM a shim, which then stops its tree and ends; False if it is gone already. `stop_event` is for Windows."""
    asked = kernel.send_signal(pid, birth, signal.SIGTERM)
    # A shim that SIGSTOP has stopped acts on SIGTERM only after SIGCONT.
    kernel.send_signal(pid, birth, signal.SIGCONT)
    return asked


def spawn_shim(argv: list[str], cwd: str, output: int) -> subprocess.Popen[bytes]:
    """Start a detached shim, leader of a new session, with stdout and stderr on the descriptor `output`.

    Raises OSError. The caller reaps it, or sets `returncode` so that `Popen` does not try to.
    """
    # Not at the top: a shim imports this module too, starts its program without `subprocess`, and saves 0.6 MiB.
    import subprocess

    return subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


def leave_bundle() -> None:
    """Restore LD_LIBRARY_PATH, so that children of a frozen program find the system's libraries.

    PyInstaller sets it to its own folder and keeps the old value in LD_LIBRARY_PATH_ORIG. This process needs neither:
    its loader has read the variable before the first line of Python.
    """
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before := os.environ.pop("LD_LIBRARY_PATH_ORIG", ""):
        os.environ["LD_LIBRARY_PATH"] = before


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


watch_end = ExitWatcher(kernel.EndPoll).watch
