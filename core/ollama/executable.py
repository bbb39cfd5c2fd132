"""Which executable to start: the configured one, or the first usable one in the known places and on PATH.

The file is examined, never run. Functions block on the disk: call them from a thread. A `Locator` does not block.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import CoreError, PathInvalid, PathNotConfigured
from core.platform import EXECUTABLE_NAMES, forbids_programs, known_executables
from core.threads.single_flight import SingleFlight

# Windows Explorer adds quotes ("Copy as path") or an invisible left-to-right mark (Security tab) to a copied path.
_PASTED = " \t\r\n\"'\u200e\u202a\u202c\ufeff"
# Where the program is below a chosen folder: directly, as in Ollama's tar archive, or as in a macOS application.
_BELOW_FOLDER = ("", "bin", "Contents/Resources")
_FIRST_SECONDS = 2.0
_LOCATE_SECONDS = 0.25
_HANGING_SECONDS = 2.0
_CHOOSE = "Choose the Ollama executable in Settings → Providers → Ollama"


@dataclass(frozen=True, slots=True)
class Found:
    """The executable to start, or why there is none. `stamp` changes whenever the file does."""

    executable: Path | CoreError
    stamp: Hashable


class Locator:
    """Finds the executable without blocking the loop it belongs to."""

    def __init__(self) -> None:
        self._configured: str | None = None
        self._flight = SingleFlight("locate", lambda: _find(None))
        self._last: Found | None = None

    async def find(self, configured: str | None) -> Found:
        """What `locate` finds now, within 250 ms, or 2 s the first time.

        If the disk does not answer in that time, the last result stands; once it has been silent for 2 s, the
        `executable` is a PathInvalid that says so.
        """
        if configured != self._configured:
            self._configured, self._last = configured, None
            self._flight = SingleFlight("locate", lambda: _find(configured))
        try:
            self._last = await self._flight.run(_LOCATE_SECONDS if self._last else _FIRST_SECONDS)
        except OSError:
            if self._last is None or self._flight.running_for > _HANGING_SECONDS:
                where = "The disk with the Ollama executable" if configured is None else f"The disk with {configured}"
                return Found(_invalid(f"{where} does not answer", "See to that disk or network drive"), None)
        return self._last


def _find(configured: str | None) -> Found:
    try:
        executable = locate(configured)
    except CoreError as error:
        return Found(error, error.code)
    try:
        stat = executable.stat()
    except OSError:
        return Found(executable, None)
    return Found(executable, (executable, stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode))


def locate(configured: str | None, *, known: Sequence[str] | None = None, path: str | None = None) -> Path:
    """The executable to start.

    If one is configured, it is used or `PathInvalid` is raised; no other one takes its place. Otherwise the first
    usable one of `known` (default: the platform's known places) or on `path` (default: $PATH; relative entries are
    ignored). Raises `PathNotConfigured` if there is none.
    """
    if configured is not None:
        return validate(configured)
    folders = (entry.strip('"') for entry in (os.environ.get("PATH", "") if path is None else path).split(os.pathsep))
    # Relative entries, `.` and empty ones would mean whatever folder this process is in.
    on_path = [str(Path(entry) / name) for entry in folders if Path(entry).is_absolute() for name in EXECUTABLE_NAMES]
    for candidate in [*(known_executables() if known is None else known), *on_path]:
        try:
            return validate(candidate)
        except PathInvalid:
            continue
    raise PathNotConfigured("Please configure the Ollama executable path in Settings → Providers → Ollama")


def validate(path: str) -> Path:
    """The path without quotes and with `~` and variables expanded, if it can be an Ollama; else raises `PathInvalid`.

    A symbolic link is judged by its own name and by the kind of its target, and returned as given.
    """
    text = os.path.expanduser(os.path.expandvars(path.strip(_PASTED)))  # noqa: PTH111 - pathlib raises without a home
    if not text:
        raise _invalid("Ollama path is empty")
    if "\0" in text:
        raise _invalid("Ollama path holds a NUL character")
    found = Path(text)
    if not found.is_absolute():
        raise _invalid(f"Ollama path {text} is relative", "Give the full path, from the root or the drive letter on")
    mode = _mode(found)
    if stat.S_ISDIR(mode):
        inside = (found / below / name for below in _BELOW_FOLDER for name in EXECUTABLE_NAMES)
        for candidate in inside:
            if os.access(candidate, os.X_OK) and candidate.is_file():
                raise _invalid(
                    f"Ollama path {found} is a folder; the executable in it is {candidate}", f"Use {candidate}"
                )
        raise _invalid(f"Ollama path {found} is a folder, and holds no Ollama")
    if not stat.S_ISREG(mode):
        raise _invalid(f"Ollama path {found} is not a regular file")
    # `normcase` ignores case on Windows only, as the system does.
    if os.path.normcase(found.name) not in {os.path.normcase(name) for name in EXECUTABLE_NAMES}:
        expected = " or ".join(EXECUTABLE_NAMES)
        raise _invalid(f"Not an Ollama executable: {found} is named {found.name}, not {expected}")
    if not os.access(found, os.X_OK):
        raise _not_executable(found, mode)
    return found


def _not_executable(path: Path, mode: int) -> PathInvalid:
    """The error for a file that this user cannot run."""
    quoted = shlex.quote(str(path))
    if forbids_programs(str(path)):
        return _invalid(
            f"Ollama path {path} cannot be run: its disk is mounted with `noexec`",
            "Move Ollama to another disk, or mount this one without `noexec`",
        )
    if mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH):
        return _invalid(f"Ollama path {path} may not be run by this user", f"Run: sudo chmod a+x {quoted}")
    return _invalid(f"Ollama path {path} is not executable", f"Run: chmod +x {quoted}")


def _invalid(message: str, action: str = _CHOOSE) -> PathInvalid:
    """The error. Bytes of the path that are not UTF-8 are escaped: neither a log nor an answer can hold them."""
    shown, way_out = (text.encode("utf-8", "backslashreplace").decode("utf-8") for text in (message, action))
    return PathInvalid(shown, action=way_out)


def _mode(path: Path) -> int:
    """The mode of the file, or of a link's target. Raises `PathInvalid`."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise _invalid(f"Ollama path {path} is a link to {path.readlink()}, which does not exist") from None
        raise _invalid(f"Ollama path {path} does not exist") from None
    except OSError as error:
        raise _invalid(f"Ollama path {path} cannot be looked at: {error.strerror}") from None
    except UnicodeEncodeError:
        raise _invalid(f"Ollama path {path} does not exist") from None
