"""Log files of managed Ollamas: line format, segment names, retention, and reading the last lines.

`SegmentedFile` belongs to one writing thread; everything else only reads or deletes and may be called from anywhere.
Lean and standard library only, because the shim imports it. Files that do not bear our exact name are never touched.
"""

from __future__ import annotations

import os
import re
import time

from core.platform import unlink_file

PREFIX_BYTES = len("[OUT] yyyy-MM-dd HH:mm:ss ")

_NAME = re.compile(r"ollama-([0-9]{8}-[0-9]{6})(?:\.((?!000)[0-9]{3}|[1-9][0-9]{3,8}))?\.log")
_DAY = 86_400
_FIRST_READ = 16 * 1024
_LARGEST_READ = 1024 * 1024
_TAIL_BYTES = 16 * 1024 * 1024
# Windows would turn every \n into \r\n without O_BINARY. os.open there shares reading and writing, so readers may come.
_REOPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_CREATE = _REOPEN | os.O_EXCL
# A link in a log's place would show anybody what it leads to, and a FIFO would be waited for.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


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
    """What a line of `stream` (OUT, ERR, SYS) begins with at that Unix time; always PREFIX_BYTES long."""
    return time.strftime(f"[{stream}] %Y-%m-%d %H:%M:%S ", time.gmtime(seconds)).encode("ascii")


def stamp_line(stream: str, text: str) -> bytes:
    """One whole log line, stamped now. `text` has no line break."""
    return line_prefix(stream, time.time()) + text.encode("utf-8", "backslashreplace") + b"\n"


def segments(folder: str) -> list[str]:
    """Paths of the log files, oldest first; empty without a folder. OSError if the folder may not be read."""
    return [segment.path for segment in _listed(folder)]


def newest(folder: str) -> str | None:
    """Path of the log file written last, or None."""
    keys = _keys(folder)
    return Segment(folder, *keys[-1]).path if keys else None


def total_bytes(folder: str) -> int:
    """Size of all log files together; one that vanishes meanwhile counts nothing."""
    return sum(_size(path) for path in segments(folder))


def tail(folder: str, max_lines: int) -> list[str]:
    """The last complete lines, oldest first, across segments and starts. The cost does not grow with the log.

    A line still being written is left out, what cannot be read or is no plain file is skipped, and bytes that are not
    UTF-8 are replaced. At most 16 MiB are read: of very long lines fewer than `max_lines` may come back.
    """
    lines: list[bytes] = []
    left = _TAIL_BYTES
    for stamp, number in reversed(_keys(folder)):
        if len(lines) >= max_lines or left <= 0:
            break
        older, used = _last_lines(Segment(folder, stamp, number).path, max_lines - len(lines), left)
        lines = older + lines
        left -= used
    return [line.decode("utf-8", "replace") for line in lines]


def count_after(folder: str, stamp: str, end: tuple[int, int], stream: str) -> int:
    """How many lines of a stream were written to that start's log after it ended there, as `SegmentedFile.end` says."""
    number, size = end
    mark = f"[{stream}]".encode()
    lines = 0
    for segment in (one for one in _listed(folder) if one.stamp == stamp and one.number >= number):
        try:
            with open(segment.path, "rb") as file:
                file.seek(size if segment.number == number else 0)
                lines += sum(line.startswith(mark) for line in file)
        except FileNotFoundError:
            # The other stream's lines have opened a new one meanwhile.
            continue
    return lines


def prune(folder: str, caps: Caps, current: Segment) -> None:
    """Delete what passes `caps` now that `current` has been opened, which itself is never deleted.

    Oldest segments of this start go first, then oldest starts, then oldest files until the total fits, where
    `current` counts as full. A file that cannot be deleted stays, and is tried again when the next segment opens.
    """
    others = [segment for segment in _listed(folder) if segment.path != current.path]
    own = [segment for segment in others if segment.stamp == current.stamp]
    starts = sorted({segment.stamp for segment in others} - {current.stamp})
    expired = set(starts[: max(0, len(starts) + 1 - caps.starts)])
    doomed = own[: max(0, len(own) + 1 - caps.segments_per_start)]
    doomed += [segment for segment in others if segment.stamp in expired]
    gone = {segment.path for segment in doomed if _deleted(segment.path)}

    sizes = {segment.path: _size(segment.path) for segment in others if segment.path not in gone}
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
        """The log of a new start, or the one that `stamp` names: then a line that its dead writer left half is cut."""
        self.fault = ""
        self._folder = folder
        self._caps = caps
        self._torn = False
        os.makedirs(folder, 0o700, exist_ok=True)
        self._segment, self._fd = _reopen(folder, stamp) if stamp else _open_start(folder, now)
        self._size = os.fstat(self._fd).st_size
        prune(folder, caps, self._segment)

    @property
    def stamp(self) -> str:
        """What names this start."""
        return self._segment.stamp

    @property
    def end(self) -> tuple[int, int]:
        """Where the log ends: the number of its last segment and the bytes of that."""
        return self._segment.number, self._size

    @property
    def path(self) -> str:
        """Path of the segment that is being written."""
        return self._segment.path

    def append(self, lines: bytes) -> int:
        """Write whole lines into one segment; return how many did not reach it whole, with the cause in `fault`."""
        done = 0
        try:
            self._make_room(len(lines))
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

    def _make_room(self, size: int) -> None:
        is_full = self._size > 0 and self._size + size > self._caps.segment_bytes
        # Deleted by hand while open: only POSIX allows it, and whatever is written would be lost to readers.
        if is_full or (os.fstat(self._fd).st_nlink == 0 and not os.path.exists(self.path)):
            self._open_next()

    def _open_next(self) -> None:
        os.makedirs(self._folder, 0o700, exist_ok=True)
        following = Segment(self._folder, self._segment.stamp, self._segment.number + 1)
        while (fd := _create(following.path)) is None:
            following = Segment(self._folder, following.stamp, following.number + 1)
        os.close(self._fd)
        self._segment, self._fd, self._size, self._torn = following, fd, 0, False
        prune(self._folder, self._caps, following)


def _open_start(folder: str, now: float) -> tuple[Segment, int]:
    """Create the first segment of a start: of this second, or of the next one that is free and newest.

    A name up to a day ahead of the clock is followed, so that a clock set back, by 14 hours even where two systems
    share it in different zones, does not put this start before the last one. A name beyond that comes from a broken
    clock and is not followed.
    """
    taken = {stamp for stamp, _ in _keys(folder)}
    horizon = _stamp(now + _DAY)
    latest = max((stamp for stamp in taken if stamp < horizon), default="")
    while True:
        stamp = _stamp(now)
        now += 1
        if stamp <= latest or stamp in taken:
            continue
        segment = Segment(folder, stamp, 0)
        if (fd := _create(segment.path)) is not None:
            return segment, fd


def _reopen(folder: str, stamp: str) -> tuple[Segment, int]:
    number = max((number for found, number in _keys(folder) if found == stamp), default=0)
    segment = Segment(folder, stamp, number)
    fd = os.open(segment.path, _REOPEN, 0o600)
    with open(segment.path, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(-min(size, _LARGEST_READ), os.SEEK_END)
        os.ftruncate(fd, size - len(file.read().rpartition(b"\n")[2]))
    return segment, fd


def _create(path: str) -> int | None:
    """Descriptor of a new file, or None if the name is taken."""
    try:
        return os.open(path, _CREATE, 0o600)
    except FileExistsError:
        return None


def _stamp(seconds: float) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds))


def _listed(folder: str) -> list[Segment]:
    return [Segment(folder, stamp, number) for stamp, number in _keys(folder)]


def _keys(folder: str) -> list[tuple[str, int]]:
    """Stamp and number of every log file, oldest first."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((match[1], int(match[2] or 0)) for match in map(_NAME.fullmatch, names) if match)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _deleted(path: str) -> bool:
    try:
        return unlink_file(path)
    except OSError:
        return False


def _open_to_read(path: str, _: int) -> int:
    return os.open(path, _READ)


def _last_lines(path: str, wanted: int, most: int) -> tuple[list[bytes], int]:
    """The last `wanted` complete lines of one file and the number of bytes read for them, `most` at most."""
    parts: list[bytes] = []
    newlines = used = 0
    step = _FIRST_READ
    try:
        with open(path, "rb", buffering=0, opener=_open_to_read) as file:
            position = file.seek(0, os.SEEK_END)
            # One newline more than lines: it ends the line before the first wanted one.
            while position and used < most and newlines <= wanted:
                size = min(step, position, most - used)
                position = file.seek(position - size)
                part = file.read(size)
                if len(part) < size:
                    return [], used + len(part)
                parts.append(part)
                newlines += part.count(b"\n")
                used += size
                step = min(step * 2, _LARGEST_READ)
    except OSError:
        return [], used
    lines = b"".join(reversed(parts)).split(b"\n")[:-1]
    return lines[1 if position else 0 :][-wanted:], used
