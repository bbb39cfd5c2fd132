"""One settings file on the disk: its text, its JSON, and its atomic replacement. It knows no setting.

All functions block on the disk. A file that cannot be used is reported as a `ConfigError`, never repaired.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import NamedTuple

from core.errors import ConfigError, DataFolderGone
from core.platform import replace_file, who_else_may_write
from core.settings.json_text import Document, skip_white

# Aura's settings are some tens of KB. Parsing holds the interpreter's lock, and with it the event loop, for as long as
# one member takes; at these limits that is a few milliseconds.
_MAX_BYTES = 1 << 20
_MOST_VALUES = 10_000
_BOM = b"\xef\xbb\xbf"
# FAT stores times in steps of 2 s, so a file that is younger may change again without a change of its stamp.
_SETTLED_NS = 2_000_000_000
_ATTEMPTS = 5
_BUSY_SECONDS = 0.1
_BUSY_POLL_SECONDS = 0.005
_TRANSIENT = (BlockingIOError, FileNotFoundError, PermissionError)
_WRITING = threading.Lock()


class Stamp(NamedTuple):
    """What in stat(2) changes with a file's content or with who may write it; of its folders the latter alone.

    Its folders are the one that it is named in and, where that name is a link, those that the link leads through.
    """

    modified_ns: int
    size: int
    inode: int
    mode: int
    owner: tuple[int, int]
    folders: tuple[tuple[int, int, int], ...]

    def is_settled(self, now_ns: int) -> bool:
        """Whether any change after `now_ns` (Unix time) must give another stamp."""
        return now_ns - self.modified_ns > _SETTLED_NS


class File(NamedTuple):
    """A file's text, the byte order mark before it, and the stamp from just before it was read (None: no file)."""

    stamp: Stamp | None
    bom: bytes
    text: str


def has_stamp(path: Path, stamp: Stamp) -> bool:
    """Whether the file has that stamp, and so the same content; False if that cannot be read."""
    try:
        return _stamp(path) == stamp
    except (OSError, DataFolderGone):
        return False


def load(path: Path) -> File:
    """The file's text; an empty JSON object if there is no file. Raises `ConfigError`."""
    stamp, content = read(path)
    if stamp is None:
        return File(None, b"", "{}")
    body = content.removeprefix(_BOM)
    try:
        return File(stamp, content[: len(content) - len(body)], body.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: the text is not UTF-8", action="Save it as UTF-8.") from None


def read(path: Path) -> tuple[Stamp | None, bytes]:
    """The file's bytes and the stamp from just before they were read (None: no file). Raises `ConfigError`.

    While another program replaces or writes it, the file may be missing or locked; then tries again for 0.1 s.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _read_once(path)
        except DataFolderGone:
            if time.monotonic() > deadline:
                raise
        except OSError as error:
            if not isinstance(error, _TRANSIENT) or time.monotonic() > deadline:
                raise _unreadable(path, error.strerror or str(error)) from None
        time.sleep(_BUSY_POLL_SECONDS)


def parse(path: Path, text: str) -> Document:
    """The JSON object in the text of that file. Raises `ConfigError`, with line and column if it is not valid JSON.

    At most 10,000 values, counted by their commas and brackets, also those within a text.
    """
    if sum(map(text.count, ",[{")) > _MOST_VALUES:
        raise ConfigError(
            f"{path} cannot be read: it holds more than {_MOST_VALUES} values",
            action=f"Take out of {path} what is not a setting.",
        )
    try:
        return Document.parse(text)
    except JSONDecodeError as error:
        ended = ", but the file ends" if skip_white(text, error.pos) == len(text) else ""
        raise ConfigError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}{ended}",
            action=f"Correct {path}, or remove it to get the defaults.",
        ) from None
    except RecursionError:
        raise _unreadable(path, "it is nested too deeply") from None


def rewrite(path: Path, change: Callable[[Path, str], str]) -> None:
    """Replace the text by `change(file, text)`, atomically. An equal text is not written.

    `change` is called again if another program has changed the file meanwhile. What it raises is passed on, with the
    file unchanged. Raises `ConfigError` if the file cannot be read or written.
    """
    # A link stays a link: its target is replaced.
    target = Path(os.path.realpath(path))
    with _WRITING:
        for _ in range(_ATTEMPTS):
            file = load(path)
            text = change(target, file.text)
            if text == file.text or _replace(path, target, file, text):
                return
    raise ConfigError(f"{path} keeps being changed by another program", action="Try again in a moment.")


def _stamp(path: Path) -> Stamp | None:
    """The file's stamp, None if there is no such file. Raises OSError, also if a link on the path is dangling.

    If that link is a folder above it, raises DataFolderGone.

    A dangling link points to a disk that is not mounted at present, and does not mean that the user wants the defaults.
    """
    try:
        file = path.stat()
    except FileNotFoundError:
        for place in (path, *path.parents):
            if place.is_symlink() and not place.exists():
                why = f"{place} is a link to {place.readlink()}, which does not exist"
                if place != path:
                    raise DataFolderGone(why) from None
                raise FileNotFoundError(errno.ENOENT, why) from None
        return None
    folders = [folder.stat() for folder in _folders(path)]
    return Stamp(
        file.st_mtime_ns,
        file.st_size,
        file.st_ino,
        file.st_mode,
        (file.st_uid, file.st_gid),
        tuple((folder.st_uid, folder.st_gid, folder.st_mode) for folder in folders),
    )


def _folders(path: Path) -> Iterator[Path]:
    """The folder of a file that is there and, as long as what lies in it is a link, that of its target."""
    yield path.parent
    # Whoever may write one of them decides which file it is.
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path.parent


def _read_once(path: Path) -> tuple[Stamp | None, bytes]:
    stamp = _stamp(path)
    if stamp is None:
        return None, b""
    # Checked before opening, because opening a FIFO blocks until somebody opens its other end.
    if not stat.S_ISREG(stamp.mode):
        raise _unreadable(path, "it is not a file")
    for place in (*_folders(path), path):
        # The settings name the program to run, so nobody else may write them.
        if who := who_else_may_write(str(place), place.stat()):
            raise ConfigError(
                f"{place} is not used: {who}", action="Make it yours alone, or choose another data folder."
            )
    with path.open("rb", buffering=0) as file:
        content = file.read(_MAX_BYTES + 1)
        file.seek(0)
        # A program that writes in place may have been half-way: an old beginning with a new end may even be valid JSON.
        if file.read(_MAX_BYTES + 1) != content:
            raise BlockingIOError(errno.EAGAIN, "it is being written")
    if len(content) > _MAX_BYTES:
        raise ConfigError(
            f"{path} cannot be read: it is larger than {_MAX_BYTES >> 20} MiB",
            action=f"Take out of {path} what is not a setting.",
        )
    return stamp, content


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {why}", action=f"Make {path} a readable JSON file, or remove it.")


def _replace(path: Path, target: Path, file: File, text: str) -> bool:
    """Replace `target`, to which `path` leads, by the new text, atomically; False if the file has changed meanwhile."""
    content = file.bom + text.encode("utf-8")
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path} would grow larger than {_MAX_BYTES >> 20} MiB", action="Make it smaller first.")
    try:
        if not path.parent.is_dir():
            raise DataFolderGone(f"{path.parent} is gone")
        with _temporary(target, content) as temporary:
            # On a disk that keeps no modes all files have the same one, and chmod may fail.
            if file.stamp is not None and temporary.stat().st_mode != file.stamp.mode:
                temporary.chmod(stat.S_IMODE(file.stamp.mode))
            if _stamp(path) != file.stamp:
                return False
            replace_file(str(temporary), str(target))
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"{path} cannot be written: {why}", action="Check its folder's rights and space.") from None
    return True


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """A new file in the same folder, flushed to the disk. Removed at the end unless it was renamed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
