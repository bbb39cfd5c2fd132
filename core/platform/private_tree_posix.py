"""Linux and macOS: folders inside a private one, reached by descriptors. Contract: `core.platform.private_tree`."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator

assert sys.platform != "win32"

from core.platform.posix_files import open_own_folder  # noqa: E402 - the type checker stops above on Windows

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def names(folder: str) -> list[str]:
    """Contract: `core.platform.private_tree`."""
    with _opened(folder) as parent:
        return os.listdir(parent)


def contents(folder: str, name: str, skip: str = "") -> Iterator[tuple[str, bytes]]:
    """Contract: `core.platform.private_tree`."""
    with _opened(folder) as parent, _below(parent, name) as top:
        yield from _files(top, "", skip)


def create(folder: str, name: str, files: Iterable[tuple[str, bytes, bool]]) -> None:
    """Contract: `core.platform.private_tree`."""
    try:
        with _opened(folder) as parent:
            os.mkdir(name, 0o700, dir_fd=parent)
            with _below(parent, name) as top:
                for path, content, is_program in files:
                    _write(top, path, content, 0o700 if is_program else 0o600)
    except OSError as error:
        # It knows the name in its own folder at most.
        if not os.path.isabs(error.filename or ""):
            error.filename = os.path.join(folder, name)
        raise


def remove(folder: str, name: str, program: str = "") -> None:
    """Contract: `core.platform.private_tree`. A program that is run may be deleted here."""
    with contextlib.suppress(OSError), _opened(folder) as parent:
        shutil.rmtree(name, ignore_errors=True, dir_fd=parent)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    descriptor = open_own_folder(folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _below(folder: int, name: str) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _files(folder: int, prefix: str, skip: str) -> Iterator[tuple[str, bytes]]:
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            yield prefix + entry.name, _read(folder, entry.name)
        elif entry.name != skip:
            with _below(folder, entry.name) as inner:
                yield from _files(inner, f"{prefix}{entry.name}/", skip)


def _read(folder: int, name: str) -> bytes:
    # Without O_NONBLOCK a planted FIFO would be waited for.
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PermissionError(errno.EPERM, "It is no file", name)
        return file.read()


def _write(folder: int, path: str, content: bytes, mode: int) -> None:
    name, _, rest = path.partition("/")
    if rest:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        with _below(folder, name) as inner:
            _write(inner, rest, content, mode)
        return
    new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
    with os.fdopen(new, "wb") as file:
        file.write(content)
