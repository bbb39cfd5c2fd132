"""Follows the logs in one folder: the last lines, then new ones as they are written, across segments and starts.

How it works: all readers of a folder share one thread, which exists only while there are readers. A reader has a
`Place` and asks for what follows it, one portion at a time, so a slow reader costs no memory and delays nobody. A
portion that is read for one reader serves all readers at the same place. A reader that has read everything waits; for
waiting readers the thread reads again ten times a second, because another process, the shim, writes the log, and no
system-independent event tells of that. No file is held open, so segments can be deleted. If the disk hangs, it blocks
this one thread, and readers get nothing meanwhile. Standard library only.
"""

from __future__ import annotations

import asyncio
import io
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from core.logs.places import Block, Place, following, start_of_last

POLL_SECONDS = 0.1

T = TypeVar("T")
_Found = dict["Place", tuple["Place", T] | None]
"""By place: the place after the portion that follows it, and that portion encoded; None if nothing follows yet."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Complete lines, each with the place after it. `end` is the place after all of them.

    `has_gap`: lines between the reader's place and these ones can no longer be read; most likely they were pruned.
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
        """Wait for the next portion, encoded. It may be cancelled and called again without losing a line.

        If the reader began with a number of lines, the first portion has no lines, only the place where they begin.
        """
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_future()
            self._ask(self)
        # `wait` does not cancel the future when this call is cancelled, so the next call gets its result.
        await asyncio.wait([self._coming])
        came, self._coming = self._coming, None
        return came.result()

    def deliver(self, result: T) -> None:
        """Have `next` return that. Called on the follower's thread."""
        self._settle(lambda coming: coming.set_result(result))

    def fail(self, error: Exception) -> None:
        """Have `next` raise that. Called on the follower's thread."""
        self._settle(lambda coming: coming.set_exception(error))

    def _settle(self, settle: Callable[[asyncio.Future[T]], None]) -> None:
        if self._coming is not None and not self.has_left:
            # Raised if the loop has been closed; then nobody waits.
            with suppress(RuntimeError):
                self._coming.get_loop().call_soon_threadsafe(settle, self._coming)


class Follower(Generic[T]):
    """All who follow the logs in one folder. Belongs to the loop; reads and encodes in a thread of its own."""

    def __init__(self, folder: str, encode: Callable[[Portion], T]) -> None:
        """`encode` makes what readers get from a portion. It runs on the thread, once per portion for all readers."""
        self._folder = folder
        self._encode = encode
        self._readers = 0
        self._thread: threading.Thread | None = None
        # Readers that ask for their next portion; None asks the thread to end.
        self._asked: queue.SimpleQueue[LogReader[T] | None] = queue.SimpleQueue()

    @contextmanager
    def reading(self, start: Place | int) -> Iterator[LogReader[T]]:
        """A reader that begins at a place, or that many lines before the end. It leaves when the block ends."""
        if self._thread is None:
            self._start_thread()
        reader = LogReader(self._asked.put, start)
        self._readers += 1
        try:
            yield reader
        finally:
            reader.has_left = True
            self._readers -= 1
            if self._readers == 0:
                self._asked.put(None)

    def _start_thread(self) -> None:
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
            # Portions of the last round are kept for one more: they serve readers that reach the same place only now.
            before, found = found, {}
            waiting = [one for one in waiting if not (one.has_left or self._serve(one, found, before))]
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._on_thread_end)

    def _on_thread_end(self) -> None:
        self._thread = None
        if self._readers:
            self._start_thread()

    def _serve(self, reader: LogReader[T], found: _Found[T], before: _Found[T]) -> bool:
        """Deliver what follows the reader's place; False if nothing does yet. Portions that are read go to `found`."""
        try:
            if isinstance(reader.start, int):
                place = start_of_last(self._folder, reader.start)
                encoded = self._encode(Portion((), place))
            else:
                if reader.start not in found:
                    found[reader.start] = before.get(reader.start) or self._encoded_after(reader.start)
                if (result := found[reader.start]) is None:
                    return False
                place, encoded = result
        except OSError:
            # The folder cannot be read at this moment. The next round tries again.
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


def _portion(block: Block) -> Portion:
    lines = []
    offset = block.start.offset
    for line in io.BytesIO(block.data):
        offset += len(line)
        text = line.removesuffix(b"\n").decode("utf-8", "replace")
        lines.append((Place(block.start.stamp, block.start.number, offset), text))
    return Portion(tuple(lines), block.end, block.has_gap)
