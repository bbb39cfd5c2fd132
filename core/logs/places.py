"""Places in the logs of one folder, and what follows them: for a reader that returns, in this run or a later one.

A reader moves on to the next segment only when it has read the old one to its end *after* the next one was seen: the
writer never returns to an old segment. No file is held open, so segments can be deleted. Everything here blocks on the
disk. Standard library only.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from core.logs.segments import Segment, listed, open_log, size_of

PORTION_BYTES = 64 * 1024
"""How much is read at once. A longer line, which the shim never writes, is delivered in pieces."""

_TAIL_BYTES = 16 * 1024 * 1024

_PLACE = re.compile(r"([0-9]{8}-[0-9]{6})\.([0-9]{1,9})\.([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the logs: the start's stamp, the segment's number, and the bytes before it. Valid in every process.

    As a text, which is an SSE event's `id`, it is `yyyyMMdd-HHmmss.SEGMENT.BYTES`.
    """

    stamp: str
    number: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that `text` names, which need not exist. Raises ValueError if `text` has another form."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no place in a log")
        return cls(found[1], int(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"{self.stamp}.{self.number}.{self.offset}"


BEGINNING = Place("00000000-000000", 0, 0)
"""Before the first log. The place of a reader as long as there is no log."""


@dataclass(frozen=True, slots=True)
class Block:
    """Complete lines of one segment, and the places where they begin and end. Empty if only the place moves on.

    `has_gap`: lines between the reader's place and these ones can no longer be read; most likely they were pruned.
    """

    data: bytes
    start: Place
    end: Place
    has_gap: bool = False


def following(folder: str, place: Place) -> Block | None:
    """The block that follows a place, PORTION_BYTES at most; None if nothing follows yet.

    Raises OSError if the folder cannot be read.
    """
    begin, has_gap = place, False
    while True:
        part = _read(folder, place)
        later = None if part and part.data else _after(place, listed(folder))
        if part and later:
            # It may have grown before the next one was begun.
            part = _read(folder, place)
        if part and part.data:
            return Block(part.data, part.start, part.end, part.has_gap or has_gap)
        if later is None:
            return Block(b"", place, place, has_gap) if place != begin else None
        has_gap |= part is None and place != BEGINNING
        place = Place(later.stamp, later.number, 0)


def end_of(folder: str) -> Place:
    """The place after all that has been written; `BEGINNING` if there is no log. Raises OSError as `following` does."""
    segments = listed(folder)
    if not segments:
        return BEGINNING
    return Place(segments[-1].stamp, segments[-1].number, size_of(segments[-1].path))


def start_of_last(folder: str, wanted: int) -> Place:
    """Where the last `wanted` complete lines begin, or as many as the last 16 MiB hold. Raises OSError."""
    place, left = BEGINNING, _TAIL_BYTES
    for segment in reversed(listed(folder)):
        try:
            offset, count, used = _start_in(segment.path, wanted, left)
        except OSError:
            continue
        place = Place(segment.stamp, segment.number, offset)
        wanted -= count
        left -= used
        if wanted <= 0 or left <= 0:
            break
    return place


def _after(place: Place, segments: list[Segment]) -> Segment | None:
    """The segment after that of `place`. If that one was deleted, the first segment with a later name."""
    key = (place.stamp, place.number)
    keys = [(segment.stamp, segment.number) for segment in segments]
    if key in keys:
        return next(iter(segments[keys.index(key) + 1 :]), None)
    return next((segment for segment, own in zip(segments, keys, strict=True) if own > key), None)


def _read(folder: str, place: Place) -> Block | None:
    """The complete lines after `place` in its segment, PORTION_BYTES at most; None if the segment cannot be read.

    A segment that is shorter than the place was truncated by hand, and is read from its beginning.
    """
    path = Segment(folder, place.stamp, place.number).path
    try:
        with os.fdopen(open_log(path, os.O_RDONLY), "rb", buffering=0) as file:
            start = place.offset if file.seek(0, os.SEEK_END) >= place.offset else 0
            file.seek(start)
            data = file.read(PORTION_BYTES)
    except OSError:
        return None
    whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == PORTION_BYTES else 0)
    begin, end = (Place(place.stamp, place.number, offset) for offset in (start, start + whole))
    return Block(data[:whole], begin, end, has_gap=start != place.offset)


def _start_in(path: str, wanted: int, most: int) -> tuple[int, int, int]:
    """The offset at which the last `wanted` complete lines of a file begin, their number, and how many bytes were read.

    Reads backwards, `most` bytes at most. Raises OSError if the file cannot be read.
    """
    with os.fdopen(open_log(path, os.O_RDONLY), "rb", buffering=0) as file:
        position = file.seek(0, os.SEEK_END)
        start, newlines, used = position, 0, 0
        while position and used < most:
            size = min(PORTION_BYTES, position)
            position = file.seek(position - size)
            block = file.read(size)
            used += size
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                newlines += 1
                start = position + at + 1
                # The newline before the first wanted line ends the line before it, so one more than `wanted` is needed.
                if newlines > wanted:
                    return start, wanted, used
        return (start, newlines - 1, used) if position else (0, newlines, used)
