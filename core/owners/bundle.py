"""What a shim runs from: a copy, in `run/`, of the shim's part of this program as it was when the program started.

So the program can be upgraded, moved or removed at any time. A running shim does not hold the program's folder: Windows
lets nobody delete or replace a program that runs, a library that it has loaded, or its working directory. And a sidecar
that is running can still start shims, of its own version.

The copies are in `run/shim-<version>-<hash>/`, which only this user may enter. Each is put there by a rename, so it is
complete, and is compared with its original before each use. Writing, comparing and deleting are done relative to the
open run folder (`core.platform.private_tree`), so that nobody can exchange a folder meanwhile; only the shim itself is
run by its path, as every program is. Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Protocol

import psutil

from core import __version__
from core.platform import EXECUTABLE_NAMES, private_tree, replace_private

RESTART = "Restart aura-ollama: it has been upgraded, moved or removed since it was started."
_FROZEN_SHIM = Path(__file__).resolve().parent.parent.parent / "shim"
Files = Callable[[], Iterable[tuple[str, bytes, bool]]]
"""The files of a copy: each one's path with `/`, its bytes, and whether it is executable."""
_HASH_DIGITS = 8
_LOCK_SECONDS = 10.0
# Instances may start at the same time and share the copies: one must not delete another's draft, nor rename the same
# copy into place twice.
_copying = threading.Lock()
_BYTECODE = "__pycache__"
# Two for each of the four levels of a draft that is deleted, and for the folder that it lies in.
_SPARE_DESCRIPTORS = 10
# Run in Python's isolated mode: neither the folder it is run in nor PYTHON* variables nor site packages count. Our own
# folder comes last, so that no module of ours or our neighbours' stands in for one of the standard library. The word
# `core.shim` is how this and other versions of `core.owners.adopt` know a shim.
_RUN_SHIM = "import sys; sys.path.append(sys.argv[1]); from core.shim.main import main; sys.exit(main(sys.argv[3]))"


class ShimProgram(Protocol):
    """The shim of this program. Made when the program starts, it notes what a copy has to be."""

    def command(self, run_dir: Path, spec: Path) -> list[str]:
        """The command line of a shim for `spec`, from a good copy below `run_dir`, which is made if there is none.

        `run_dir` must exist. Other copies are removed, unless something runs from them. Raises OSError if no copy can
        be made: FileNotFoundError if what was to be copied is there no more, or has changed.
        """


@cache
def shim_program() -> ShimProgram:
    """The shim of the program that runs here, as it is when this is called first.

    Raises OSError if the program's files cannot be read.
    """
    if not getattr(sys, "frozen", False):
        return PythonShim(resources.files("core"))
    # A virus scanner may have taken the shim and left its folder.
    return FrozenShim(_FROZEN_SHIM) if _executable(_FROZEN_SHIM).is_file() else _NoShim()


class PythonShim:
    """The modules of `core`, run by the Python that runs us. They are kept in memory: about 0.3 MB."""

    def __init__(self, package: Traversable) -> None:
        """`package` is the folder of `core`; it may lie in a zip archive. Raises OSError."""
        self._files = dict(_sources(package, "core"))
        self._digest = _digest_of(self._files.items())

    def command(self, run_dir: Path, spec: Path) -> list[str]:
        """Contract: `ShimProgram.command`."""
        copy = _good_copy(run_dir, self._digest, self._its_files, skip=_BYTECODE)
        # On Windows the executable of a virtual environment is a launcher, which would be one more process.
        python = getattr(sys, "_base_executable", sys.executable)
        # Paths and file names are decoded by the same rule as here.
        mode = f"utf8={sys.flags.utf8_mode}"
        return [python, "-I", "-S", "-X", mode, "-c", _RUN_SHIM, str(copy), "core.shim", str(spec)]

    def _its_files(self) -> Iterator[tuple[str, bytes, bool]]:
        for name, content in self._files.items():
            yield name, content, False


class FrozenShim:
    """A folder with an executable of its own, in the folder of a frozen program."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if the folder cannot be read."""
        self._folder = folder
        self._digest = _digest_of((name, content) for name, content, _ in self._its_files())

    def command(self, run_dir: Path, spec: Path) -> list[str]:
        """Contract: `ShimProgram.command`. Where the copy's disk lets no program run, the original runs."""
        executable = _executable(_good_copy(run_dir, self._digest, self._its_files))
        if not os.access(executable, os.X_OK):
            executable = _executable(self._folder)
        return [str(executable), "--shim", str(spec)]

    def _its_files(self) -> Iterator[tuple[str, bytes, bool]]:
        for path in self._folder.rglob("*"):
            if path.is_file():
                is_program = os.access(path, os.X_OK)
                yield path.relative_to(self._folder).as_posix(), path.read_bytes(), is_program


class _NoShim:
    """A frozen program without a shim folder runs itself as the shim."""

    def command(self, run_dir: Path, spec: Path) -> list[str]:
        return [sys.executable, "--shim", str(spec)]


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """The Python files below a folder, by their path with `/`."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, path)
        elif entry.name.endswith(".py"):
            yield path, entry.read_bytes()


def _good_copy(run_dir: Path, digest: str, files: Files, skip: str = "") -> Path:
    name = f"shim-{__version__}-{digest[:_HASH_DIGITS]}"
    if not _copying.acquire(timeout=_LOCK_SECONDS):
        raise TimeoutError(errno.ETIMEDOUT, "Another start still waits for the disk", str(run_dir / name))
    try:
        there = sorted(private_tree.names(str(run_dir)))
        fitting = (found for found in there if found.startswith(name) and _is_true(run_dir, found, digest, skip))
        copy = next(fitting, None)
        if copy is None:
            if name in there:
                # It is not what it should be, and perhaps in use.
                name = f"{name}-{uuid.uuid4().hex[:_HASH_DIGITS]}"
            copy = _copy(run_dir, name, digest, files)
        _remove_others(run_dir, {found for found in there if found.startswith("shim-")} - {copy})
        return run_dir / copy
    finally:
        _copying.release()


def _is_true(run_dir: Path, name: str, digest: str, skip: str = "") -> bool:
    """Whether nothing below that folder is missing, changed or added."""
    try:
        return _digest_of(private_tree.contents(str(run_dir), name, skip)) == digest
    except OSError:
        return False


def _executable(folder: Path) -> Path:
    return folder / f"aura-ollama-shim{Path(EXECUTABLE_NAMES[0]).suffix}"


def _digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """A hash of all names and contents, in hex."""
    whole = hashlib.sha256()
    for name, digest in sorted((name, hashlib.sha256(content).hexdigest()) for name, content in files):
        whole.update(f"{name}\0{digest}\n".encode())
    return whole.hexdigest()


def _copy(run_dir: Path, name: str, digest: str, files: Files) -> str:
    draft = f"shim-{uuid.uuid4().hex[:_HASH_DIGITS]}.new"
    spare = _reserve_descriptors(_SPARE_DESCRIPTORS)
    try:
        private_tree.create(str(run_dir), draft, files())
        if not _is_true(run_dir, draft, digest):
            why = "The shim is not what it was when the program started"
            raise FileNotFoundError(errno.ENOENT, why, str(run_dir / name))
        replace_private(str(run_dir / draft), str(run_dir / name))
    except OSError:
        spare.close()
        private_tree.remove(str(run_dir), draft)
        raise
    finally:
        spare.close()
    return name


def _reserve_descriptors(count: int) -> ExitStack:
    """Occupies `count` descriptors until the stack is closed. Raises OSError, and occupies none, if there are fewer.

    So a draft can still be deleted if the descriptors run out while it is written.
    """
    with ExitStack() as taken:
        for _ in range(count):
            taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        return taken.pop_all()


def _remove_others(run_dir: Path, others: set[str]) -> None:
    used = _folders_in_use() if others else set()
    for name in others:
        if run_dir / name not in used:
            # One that is in use all the same: Windows refuses to delete a running program.
            private_tree.remove(str(run_dir), name, _executable(Path()).name)


def _folders_in_use() -> set[Path]:
    """The paths in the command lines of all processes, and the folders of their programs."""
    folders = set()
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError, IndexError):
            command = psutil.Process(pid).cmdline()
            folders |= {Path(command[0]).parent, *map(Path, command)}
    return folders
