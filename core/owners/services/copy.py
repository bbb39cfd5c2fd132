"""Copies what a service prints into files of its own, over rotation and truncation, into the instance's log.

The lines bear no time, so each gets that of its copying. A file is known by its device and inode. One that was renamed
is read to its end first, as long as it lies in the same folder; one that was truncated is read from its beginning.
Everything here blocks on the disk.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from core.owners.copied import Line, LogCopy

_FIRST_BYTES = 64 << 10
"""How much of a file that is followed for the first time is copied, from its end."""
_BATCH_BYTES = 256 << 10
_LONGEST_LINE = 32 << 10


class FileCopy:
    """The copy of one service's output. Call everything from one thread at a time."""

    def __init__(self, copy: LogCopy) -> None:
        self._copy = copy
        self._files: dict[str, BinaryIO] = {}
        self._offsets: dict[str, int] = {}
        self._states: list[tuple[str, int] | None] = []

    def has_changed(self, paths: Sequence[str]) -> bool:
        """Whether these files are others, or of another size, than when this was asked before."""
        before, self._states = self._states, [_state(path) for path in paths]
        return self._states != before

    def copy(self, paths: Sequence[str], run: str, env: Mapping[str, str] = {}) -> None:
        """Copy what is new in the files for standard output and error, which may be one. Raises OSError.

        Secrets in the variables `env` are starred.
        """
        self._copy.conceal(env)
        try:
            for stream, path in zip(("OUT", "ERR"), dict.fromkeys(paths), strict=False):
                while self._copy_some(path, "ERR" if stream == "ERR" else "OUT", run):
                    pass
        except OSError:
            # The cursor on the disk says how far it is.
            self.close()
            raise

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._offsets.clear()
        self._states = []
        self._copy.close()

    def _copy_some(self, path: str, stream: str, run: str) -> bool:
        """Copy a batch; False if nothing is left at present."""
        file = self._files.get(path) or self._open(path)
        if file is None:
            return False
        offset = self._offsets[path]
        if os.fstat(file.fileno()).st_size < offset:
            offset = 0
        file.seek(offset)
        data = file.read(_BATCH_BYTES)
        end = data.rfind(b"\n") + 1
        if not end and len(data) >= _LONGEST_LINE:
            # A line without end is cut, as everywhere in our logs.
            end = len(data)
        self._offsets[path] = offset + end
        if end:
            now = time.time()
            lines = [
                Line("ERR" if stream == "ERR" else "OUT", now, text)
                for text in data[:end].removesuffix(b"\n").split(b"\n")
            ]
            self._copy.write(lines, self._cursor(), run)
            return True
        return self._followed(path, file)

    def _followed(self, path: str, file: BinaryIO) -> bool:
        """Whether another file has taken the place of the one that has been read to its end."""
        with suppress(OSError):
            if _identity(Path(path).stat()) != _identity(os.fstat(file.fileno())):
                file.close()
                del self._files[path]
                self._offsets[path] = 0
                self._files[path] = _open_plain(path)
                return True
        return False

    def _open(self, path: str) -> BinaryIO | None:
        """The file to go on with, where the kept cursor says; None if there is none yet."""
        kept = self._kept().get(path)
        if kept is not None:
            identity, offset = kept
            for candidate in [path, *_neighbours(path)]:
                with suppress(OSError):
                    if _identity(Path(candidate).stat()) == identity:
                        self._files[path], self._offsets[path] = _open_plain(candidate), offset
                        return self._files[path]
        try:
            file = _open_plain(path)
        except FileNotFoundError:
            return None
        size = os.fstat(file.fileno()).st_size
        self._offsets[path] = 0
        if kept is None and size > _FIRST_BYTES:
            file.seek(size - _FIRST_BYTES)
            file.readline()
            self._offsets[path] = file.tell()
        self._files[path] = file
        return file

    def _cursor(self) -> str:
        places = {path: [_identity(os.fstat(file.fileno())), self._offsets[path]] for path, file in self._files.items()}
        return json.dumps(self._kept_raw() | places)

    def _kept(self) -> dict[str, tuple[str, int]]:
        found = {}
        for path, value in self._kept_raw().items():
            match value:
                case [str(identity), int(offset)]:
                    found[path] = (identity, offset)
        return found

    def _kept_raw(self) -> dict[str, object]:
        try:
            found = json.loads(self._copy.open() or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _state(path: str) -> tuple[str, int] | None:
    """The identity and the size of a file, None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return _identity(status), status.st_size


def _neighbours(path: str) -> list[str]:
    """The files beside it whose names begin with its own: `ollama.log.0` beside `ollama.log`."""
    place = Path(path)
    try:
        return [str(other) for other in place.parent.iterdir() if other.name.startswith(place.name)]
    except OSError:
        return []


def _open_plain(path: str) -> BinaryIO:
    """A plain file, opened to read. Raises OSError for anything else, such as a pipe, which would block."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
