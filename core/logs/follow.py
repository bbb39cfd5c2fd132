"""Follows the logs in one folder: the last lines, then new ones as they are written, across segments and starts.

How it works: all readers of a folder share one thread, which lives only as long as there are readers. A reader has a
`Place` and gets what follows it when it asks, one portion at a time: a slow one costs no memory and holds nobody up.
What is read for one serves all that stand at the same place. Who asks and has read everything waits; for those the
thread looks again ten times a second, since a log is written by another process (the shim), and no event tells of
that on all systems. No file is held open, so that segments can be deleted. A disk that hangs holds that one thread,
and readers get nothing meanwhile. Standard library only.
"""

from __future__ import annotations

import asyncio
import io
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from core.logs.places import BEGINNING, PORTION_BYTES, Block, Place, following
from core.logs.segments import listed, open_log

POLL_SECONDS = 0.1
_TAIL_BYTES = 16 * 1024 * 1024

T = TypeVar("T")
_Found = dict["Place", tuple["Place", T] | None]
"""By place, what follows it, encoded, and the place behind that; None if nothing does yet."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Complete lines, each with the place right behind it, and the place behind all of them, if there are any.

    `has_gap`: what stood between the reader's place and these lines can no longer be read, most likely pruned.
    """

    lines: tuple[tuple[Place, str], ...]
    end: Place
    has_gap: bool = False


class LogReader(Generic[T]):
    """One reader. Made by `Follower.reading`; belongs to the loop."""

    def __init__(self, ask: Callable[[LogReader[T]], None], start: Place | int) -> None:
        self.start = start
        self.has_left = False
        self._ask = ask
        self._coming: asyncio.Future[T] | None = None

    async def next(self) -> T:
        """The next portion, encoded, once there is one. May be cancelled and called again, and loses nothing by that.

        The first one of a reader that began with a number of lines comes at once and holds no line, only their place.
        """
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_future()
            self._ask(self)
        # Unlike awaiting the future itself, this leaves it alone when it is cancelled.
        await asyncio.wait([self._coming])
        came, self._coming = self._coming, None
        return came.result()

    def deliver(self, result: T) -> None:
        """Answer the reader, from the thread."""
        self._settle(lambda coming: coming.set_result(result))

    def fail(self, error: Exception) -> None:
        """Have the reader's `next` raise that, from the thread."""
        self._settle(lambda coming: coming.set_exception(error))

    def _settle(self, settle: Callable[[asyncio.Future[T]], None]) -> None:
        if self._coming is not None and not self.has_left:
            # The loop may have ended meanwhile, and then nobody waits.
            with suppress(RuntimeError):
                self._coming.get_loop().call_soon_threadsafe(settle, self._coming)


class Follower(Generic[T]):
    """All who follow the logs in one folder. Belongs to the loop; reads and encodes in a thread of its own."""

    def __init__(self, folder: str, encode: Callable[[Portion], T]) -> None:
        """`encode` makes what readers get of a portion, once for all who get the same one. It runs in the thread."""
        self._folder = folder
        self._encode = encode
        self._readers = 0
        self._thread: threading.Thread | None = None
        # Readers that ask; None asks the thread to end.
        self._asked: queue.SimpleQueue[LogReader[T] | None] = queue.SimpleQueue()

    @contextmanager
    def reading(self, start: Place | int) -> Iterator[LogReader[T]]:
        """A reader from a place on, or from so many of the last lines on; it leaves with the block."""
        if self._thread is None:
            self._begin()
        reader = LogReader(self._asked.put, start)
        self._readers += 1
        try:
            yield reader
        finally:
            reader.has_left = True
            self._readers -= 1
            if self._readers == 0:
                self._asked.put(None)

    def _begin(self) -> None:
        run = partial(self._run, asyncio.get_running_loop())
        thread = threading.Thread(target=run, name="log follower", daemon=True)
        thread.start()
        self._thread = thread

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting: list[LogReader[T]] = []
        found: _Found[T] = {}
        while True:
            with suppress(queue.Empty):
                asking = self._asked.get(timeout=POLL_SECONDS if waiting else None)
                while asking is not None:
                    waiting.append(asking)
                    asking = self._asked.get_nowait()
                break
            # What was read in the last round serves whoever comes to the same place only now.
            before, found = found, {}
            waiting = [one for one in waiting if not (one.has_left or self._serve(one, found, before))]
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._on_thread_end)

    def _on_thread_end(self) -> None:
        self._thread = None
        if self._readers:
            self._begin()

    def _serve(self, reader: LogReader[T], found: _Found[T], before: _Found[T]) -> bool:
        """Whether there was something for a reader; what was looked for in its stead is in `found`."""
        try:
            if isinstance(reader.start, int):
                place = self._start_of_last(reader.start)
                encoded = self._encode(Portion((), place))
            else:
                if reader.start not in found:
                    found[reader.start] = before.get(reader.start) or self._encoded_after(reader.start)
                if (result := found[reader.start]) is None:
                    return False
                place, encoded = result
        except OSError:
            # The folder cannot be read at this moment.
            return False
        except Exception as error:
            reader.fail(error)
        else:
            reader.start = place
            reader.deliver(encoded)
        return True

    def _encoded_after(self, place: Place) -> tuple[Place, T] | None:
        block = following(self._folder, place)
        return (block.end, self._encode(_portion(block))) if block else None

    def _start_of_last(self, wanted: int) -> Place:
        """Where the last `wanted` complete lines begin, or as many as there are in 16 MiB. Raises OSError as above."""
        place, left = BEGINNING, _TAIL_BYTES
        for segment in reversed(listed(self._folder)):
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


def _portion(block: Block) -> Portion:
    lines = []
    offset = block.start.offset
    for line in io.BytesIO(block.data):
        offset += len(line)
        text = line.removesuffix(b"\n").decode("utf-8", "replace")
        lines.append((Place(block.start.stamp, block.start.number, offset), text))
    return Portion(tuple(lines), block.end, block.has_gap)


def _start_in(path: str, wanted: int, most: int) -> tuple[int, int, int]:
    """Where the last `wanted` complete lines of a file begin, how many there are, and what was read, `most` bytes.

    Raises OSError if it cannot be read.
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
                # One newline more than lines: it ends the line before the first wanted one.
                if newlines > wanted:
                    return start, wanted, used
        return (start, newlines - 1, used) if position else (0, newlines, used)
