"""Reads the log files of managed Ollamas, from any thread: the last lines, the newest file, the size of all.

All functions block on the disk. Standard library only, because the shim imports it.
"""

from __future__ import annotations

import contextlib
import os
import stat

from core.logs.segments import listed, open_log, size_of, stamp_line

_FIRST_READ = 16 * 1024
_LARGEST_READ = 1024 * 1024
_TAIL_BYTES = 16 * 1024 * 1024


def segments(folder: str) -> list[str]:
    """Paths of the log files, oldest first; empty without a folder. OSError if the folder may not be read."""
    return [segment.path for segment in listed(folder)]


def newest(folder: str) -> str | None:
    """Path of the newest segment of the newest start that is a plain file; None if there is none."""
    for segment in reversed(listed(folder)):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.lstat(segment.path).st_mode):
                return segment.path
    return None


def holds_output(path: str) -> bool:
    """Whether a line of Ollama's own is among the first 16 KiB of a log file; the others there are ours.

    Raises OSError.
    """
    with os.fdopen(open_log(path, os.O_RDONLY), "rb", buffering=0) as file:
        begin = b"\n" + file.read(_FIRST_READ)
    return b"\n[OUT] " in begin or b"\n[ERR] " in begin


def append_line(folder: str, stream: str, text: str) -> None:
    """Append a line with the present time to the newest log; nothing if there is no log. Raises OSError."""
    path = newest(folder)
    if path is None:
        return
    with os.fdopen(open_log(path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0) as log:
        log.write(stamp_line(stream, text))


def total_bytes(folder: str) -> int:
    """The size of all log files together, in bytes; a file that is deleted meanwhile counts as 0."""
    return sum(size_of(path) for path in segments(folder))


def tail(folder: str, max_lines: int) -> list[str]:
    """The last complete lines, oldest first, across segments and starts. The cost does not grow with the log.

    An unfinished last line is left out, files that cannot be read are skipped, and bytes that are not UTF-8 are
    replaced. At most 16 MiB are read, so fewer than `max_lines` very long lines may be returned.
    """
    lines: list[bytes] = []
    left = _TAIL_BYTES
    for segment in reversed(listed(folder)):
        if len(lines) >= max_lines or left <= 0:
            break
        older, used = _last_lines(segment.path, max_lines - len(lines), left)
        lines = older + lines
        left -= used
    return [line.decode("utf-8", "replace") for line in lines]


def last_lines(path: str, most: int) -> list[str]:
    """The last complete lines of one log file, `most` at most; empty if it cannot be read. See `tail`."""
    return [line.decode("utf-8", "replace") for line in _last_lines(path, most, _TAIL_BYTES)[0]]


def count_after(folder: str, stamp: str, end: tuple[int, int], stream: str) -> int:
    """How many lines of a stream that start's log holds after `end`, a former `SegmentedFile.end` of that log."""
    number, size = end
    mark = f"[{stream}]".encode()
    lines = 0
    for segment in (one for one in listed(folder) if one.stamp == stamp and one.number >= number):
        try:
            with os.fdopen(open_log(segment.path, os.O_RDONLY), "rb") as file:
                file.seek(size if segment.number == number else 0)
                lines += sum(line.startswith(mark) for line in file)
        except OSError:
            # A line that is not counted is written twice, which is better than not at all.
            continue
    return lines


def _last_lines(path: str, wanted: int, most: int) -> tuple[list[bytes], int]:
    """The last `wanted` complete lines of one file, read backwards, and how many bytes that took, `most` at most."""
    parts: list[bytes] = []
    newlines = used = 0
    step = _FIRST_READ
    try:
        with os.fdopen(open_log(path, os.O_RDONLY), "rb", buffering=0) as file:
            position = file.seek(0, os.SEEK_END)
            # The newline before the first wanted line ends the line before it, so one more than `wanted` is needed.
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
