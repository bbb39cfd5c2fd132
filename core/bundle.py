"""The shim of a frozen program: an executable of its own, copied out of the program's folder before it runs.

Windows lets nobody delete or replace a program that runs, nor a library that it has loaded. So a shim that ran from
the program's folder would hold that folder for as long as Ollama runs, and no upgrade could take place meanwhile.

The copies lie in `run/shim-<version>-<hash>/`, which only this user may enter. They are put there whole, by a rename,
and compared with the program's own before each use. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from core import __version__
from core.platform import EXECUTABLE_NAMES, replace_file, unlink_file

_SHIM = Path(__file__).resolve().parent.parent / "shim"
_HASH_DIGITS = 8


def shim_executable(run_dir: Path, shim: Path = _SHIM) -> Path | None:
    """The executable of a copy of the folder `shim`, below `run_dir`, which must exist; None if there is no such shim.

    All other copies are removed, unless something runs from them. Raises OSError if no copy can be made.
    """
    # A virus scanner may have taken the program and left its folder.
    if not _executable(shim).is_file():
        return None
    digest = _digest(shim)
    name = f"shim-{__version__}-{digest[:_HASH_DIGITS]}"
    copy = next((found for found in sorted(run_dir.glob(f"{name}*")) if _is_true(found, digest)), None)
    if copy is None:
        copy = _copy(shim, digest, run_dir / name)
    _remove_others(copy)
    return _executable(copy)


def _is_true(copy: Path, digest: str) -> bool:
    try:
        return _digest(copy) == digest
    except OSError:
        return False


def _executable(folder: Path) -> Path:
    return folder / f"aura-ollama-shim{Path(EXECUTABLE_NAMES[0]).suffix}"


def _digest(folder: Path) -> str:
    """A hash of all names and contents below `folder`: nothing may be missing, changed or added."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        whole.update(f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()


def _copy(shim: Path, digest: str, place: Path) -> Path:
    if place.exists():
        # It is not what it should be, and perhaps in use.
        place = place.with_name(f"{place.name}-{uuid.uuid4().hex[:_HASH_DIGITS]}")
    draft = place.with_name(f"shim-{uuid.uuid4().hex[:_HASH_DIGITS]}.new")
    try:
        shutil.copytree(shim, draft)
        if _digest(draft) != digest:
            raise OSError(f"{shim} changed while it was copied")
        replace_file(str(draft), str(place))
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return place


def _remove_others(copy: Path) -> None:
    others = [folder for folder in copy.parent.glob("shim-*") if folder != copy]
    used = _folders_in_use() if others else set()
    for folder in others:
        # Where the system refuses to delete a running program, that tells as well.
        if folder not in used and unlink_file(str(_executable(folder))):
            shutil.rmtree(folder, ignore_errors=True)


def _folders_in_use() -> set[Path]:
    folders = set()
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError, IndexError):
            folders.add(Path(psutil.Process(pid).cmdline()[0]).parent)
    return folders
