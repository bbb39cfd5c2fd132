"""The log of one start: numbered segments that are never renamed, their names and order, and what is kept of them.

Segments are numbered and not rotated by renaming, because Windows refuses to rename a file that somebody reads, and a
reader's place would change its meaning. `SegmentedFile` belongs to one writing thread. Standard library only, because
the shim imports it. Files with other names are never touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time

from core.platform import unlink_file

PREFIX_BYTES = len("[OUT] yyyy-MM-dd HH:mm:ss ")

_NAME = re.compile(r"ollama-([0-9]{8}-[0-9]{6})(?:\.((?!000)[0-9]{3}|[1-9][0-9]{3,8}))?\.log")
# The folder of `AuraData` that holds all logs.
_TOP = "logs"
_DAY = 86_400
_LARGEST_READ = 1024 * 1024
# Without O_BINARY Windows writes \r\n for \n. Python's os.open lets others read and write the same file there.
_SAFELY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_APPEND = os.O_WRONLY | os.O_APPEND


def open_log(path: str, flags: int) -> int:
    """Open a log file, Ollama's or our own, and return the descriptor. Every log is opened here.

    `flags` are those of os.open; a new file is for this user alone. Raises OSError, also for anything but a plain file:
    a link could lead us to another file, and opening a FIFO blocks until somebody opens its other end.
    """
    fd = os.open(path, flags | _SAFELY, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "It is no plain file", path)
    return fd


class Caps:
    """How much log may be kept: bytes of a segment, segments of a start, starts, and bytes of everything."""

    __slots__ = ("segment_bytes", "segments_per_start", "starts", "total_bytes")

    def __init__(
        self,
        *,
        segment_bytes: int = 16 * 1024 * 1024,
        segments_per_start: int = 8,
        starts: int = 20,
        total_bytes: int = 1024 * 1024 * 1024,
    ) -> None:
        self.segment_bytes = segment_bytes
        self.segments_per_start = segments_per_start
        self.starts = starts
        self.total_bytes = total_bytes


class Segment:
    """One log file, known by the start it belongs to (its stamp) and its number within it; the first is number 0."""

    __slots__ = ("number", "path", "stamp")

    def __init__(self, folder: str, stamp: str, number: int) -> None:
        self.stamp = stamp
        self.number = number
        self.path = os.path.join(folder, f"ollama-{stamp}.{number:03}.log" if number else f"ollama-{stamp}.log")


def line_prefix(stream: str, seconds: float) -> bytes:
    """The stamp at the beginning of a line: the stream (OUT, ERR, SYS) and that Unix time in UTC; PREFIX_BYTES long."""
    return time.strftime(f"[{stream}] %Y-%m-%d %H:%M:%S ", time.gmtime(seconds)).encode("ascii")


def stamp_line(stream: str, text: str) -> bytes:
    """One whole log line with the present time. `text` must have no line break."""
    return line_prefix(stream, time.time()) + text.encode("utf-8", "backslashreplace") + b"\n"


def listed(folder: str) -> list[Segment]:
    """All segments, oldest first; empty without a folder. Raises OSError if the folder may not be read.

    Starts are sorted by name, that is, by time. A name more than a day in the future comes from a wrong clock; such a
    start is sorted by its last write instead, and comes first of all if that is in the future too.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = sorted((match[1], int(match[2] or 0)) for match in map(_NAME.fullmatch, names) if match)
    horizon = stamp_of(time.time() + _DAY)
    is_ahead = [Segment(folder, *key) for key in found if key[0] > horizon]
    ordered = [Segment(folder, *key) for key in found if key[0] <= horizon]
    return _put_where_written(is_ahead, ordered) if is_ahead else ordered


def _put_where_written(ahead: list[Segment], ordered: list[Segment]) -> list[Segment]:
    """All of them, oldest first: a start of `ahead` goes before the first start of `ordered` that was written later.

    A start whose last write is in the future too goes first of all.
    """
    # The last segment of a start, which comes last here, has the start's last write.
    written: dict[str, float] = {}
    for segment in (*ordered, *ahead):
        try:
            written[segment.stamp] = os.lstat(segment.path).st_mtime
        except OSError:
            written[segment.stamp] = 0.0
    latest = time.time() + _DAY
    stamps = list(dict.fromkeys(segment.stamp for segment in ordered))
    untimed = []
    for stamp in sorted({segment.stamp for segment in ahead}, key=lambda stamp: (written[stamp], stamp)):
        if written[stamp] > latest:
            untimed.append(stamp)
        else:
            later = (index for index, other in enumerate(stamps) if written[other] > written[stamp])
            stamps.insert(next(later, len(stamps)), stamp)
    place = {stamp: index for index, stamp in enumerate((*sorted(untimed), *stamps))}
    return sorted((*ordered, *ahead), key=lambda segment: (place[segment.stamp], segment.number))


def prune(folder: str, caps: Caps, current: Segment) -> None:
    """Delete what exceeds `caps`, now that `current` has been opened; `current` itself is never deleted.

    The oldest segments of this start go first, then the oldest starts, then the oldest files until the total fits;
    `current` counts as full. A file that cannot be deleted stays, and is tried again when the next segment opens.
    """
    others = [segment for segment in listed(folder) if segment.path != current.path]
    own = [segment for segment in others if segment.stamp == current.stamp]
    starts = list(dict.fromkeys(segment.stamp for segment in others if segment.stamp != current.stamp))
    expired = set(starts[: max(0, len(starts) + 1 - caps.starts)])
    doomed = own[: max(0, len(own) + 1 - caps.segments_per_start)]
    doomed += [segment for segment in others if segment.stamp in expired]
    gone = {segment.path for segment in doomed if _deleted(segment.path)}

    sizes = {segment.path: size_of(segment.path) for segment in others if segment.path not in gone}
    excess = sum(sizes.values()) + caps.segment_bytes - caps.total_bytes
    for path, size in sizes.items():
        if excess <= 0:
            return
        if _deleted(path):
            excess -= size


class SegmentedFile:
    """The log of one start, in numbered segments that are never renamed. Opening it raises OSError.

    Not thread-safe. Nothing is buffered: what has been written survives the end of this process.
    """

    def __init__(self, folder: str, caps: Caps, now: float, stamp: str | None = None) -> None:
        """Begin the log of a new start, or continue the one with that `stamp` and remove its unfinished last line."""
        self.fault = ""
        self._folder = folder
        self._caps = caps
        self._torn = False
        _make_folder(folder)
        self._segment, self._fd = _reopen(folder, stamp) if stamp else _open_start(folder, now)
        self._size = os.fstat(self._fd).st_size
        prune(folder, caps, self._segment)

    @property
    def stamp(self) -> str:
        """The name of this start, `yyyyMMdd-HHmmss`."""
        return self._segment.stamp

    @property
    def end(self) -> tuple[int, int]:
        """Where the log ends: the number of its last segment, and that segment's size in bytes."""
        return self._segment.number, self._size

    @property
    def path(self) -> str:
        """Path of the segment that is being written."""
        return self._segment.path

    def append(self, lines: bytes) -> int:
        """Write whole lines into one segment. Returns how many could not be written whole; `fault` tells why."""
        done = 0
        try:
            is_full = self._size > 0 and self._size + len(lines) > self._caps.segment_bytes
            # On POSIX somebody can delete the file while it is open, and no reader would see what is written to it.
            if is_full or (os.fstat(self._fd).st_nlink == 0 and not os.path.exists(self.path)):
                _make_folder(self._folder)
                following, fd = _create_next(self._segment, self._folder)
                os.close(self._fd)
                self._segment, self._fd, self._size, self._torn = following, fd, 0, False
                prune(self._folder, self._caps, following)
            if self._torn:
                self._size += os.write(self._fd, b"\n")
                self._torn = False
            while done < len(lines):
                written = os.write(self._fd, memoryview(lines)[done:])
                self._size += written
                done += written
        except OSError as error:
            self.fault = error.strerror or str(error)
        if done:
            self._torn = lines[done - 1 : done] != b"\n"
        return lines.count(b"\n", done)

    def close(self) -> None:
        """Close the current segment. Nothing may be appended afterwards."""
        os.close(self._fd)


def _make_folder(folder: str) -> None:
    """Create it and what is missing above it, up to `logs`: `logs/ollama`, or `logs/ollama/<id>` for other instances.

    The data folder above these is not made: its disk may have been taken away.
    """
    above = os.path.dirname(folder)
    top = os.path.dirname(above)
    for place in (top if os.path.basename(top) == _TOP else "", above, folder):
        if place and not os.path.isdir(place):
            with contextlib.suppress(FileExistsError):
                os.mkdir(place, 0o700)


def _open_start(folder: str, now: float) -> tuple[Segment, int]:
    """Create the first segment of a start, named by this second or by the next one that is free and newer than all.

    If the clock was set back, the new name still comes after the last one, up to a day ahead: two systems on one
    machine may set the clock 14 hours apart, one to UTC and one to local time. A name further ahead came from a wrong
    clock, and is ignored.
    """
    taken = {segment.stamp for segment in listed(folder)}
    horizon = stamp_of(now + _DAY)
    latest = max((stamp for stamp in taken if stamp < horizon), default="")
    while True:
        stamp = stamp_of(now)
        now += 1
        if stamp <= latest or stamp in taken:
            continue
        segment = Segment(folder, stamp, 0)
        if (fd := _create(segment.path)) is not None:
            return segment, fd


def _reopen(folder: str, stamp: str) -> tuple[Segment, int]:
    """The last segment of that start, without an unfinished last line; a new one if it cannot be written."""
    number = max((segment.number for segment in listed(folder) if segment.stamp == stamp), default=0)
    segment = Segment(folder, stamp, number)
    try:
        fd = open_log(segment.path, _APPEND | os.O_CREAT)
        with os.fdopen(open_log(segment.path, os.O_RDONLY), "rb", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(-min(size, _LARGEST_READ), os.SEEK_END)
            os.ftruncate(fd, size - len(file.read().rpartition(b"\n")[2]))
    except OSError:
        return _create_next(segment, folder)
    return segment, fd


def _create_next(segment: Segment, folder: str) -> tuple[Segment, int]:
    """A new segment of the same start, under the next number that is free."""
    while True:
        segment = Segment(folder, segment.stamp, segment.number + 1)
        if (fd := _create(segment.path)) is not None:
            return segment, fd


def _create(path: str) -> int | None:
    """Descriptor of a new file, or None if the name is taken."""
    try:
        return open_log(path, _APPEND | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return None


def stamp_of(seconds: float) -> str:
    """The name of a start at that Unix time: `yyyyMMdd-HHmmss`, UTC."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))


def size_of(path: str) -> int:
    """The size of a file in bytes; 0 if it cannot be read."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _deleted(path: str) -> bool:
    try:
        return unlink_file(path)
    except OSError:
        return False
