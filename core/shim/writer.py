"""From the queue to the log: the one thread of a start that writes, counts losses, and keeps the last lines.

Here a line gets its time stamp: `LogWriter.write` puts it on when the line is queued, so a slow disk does not shift it.
Owned by the shim, and by the guard that succeeds a killed one. Standard library only.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from core.logs.failure_cause import cause_in
from core.logs.lines import clean
from core.logs.segments import PREFIX_BYTES, Caps, SegmentedFile, line_prefix
from core.logs.tail import count_after
from core.shim.spool import Spool, shared_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    Settle = Callable[[int, int], None]

STALL_SECONDS = 1.0

_QUEUE_BYTES = 128 * 1024
_PORTION_BYTES = 32 * 1024
_RECENT_BYTES = 16 * 1024
# An older line that names a cause was probably about a model runner, not about the end of Ollama itself.
_CAUSE_SECONDS = 10.0
_UNKNOWN = "the disk did not take them"
_STALLED = f"the disk took nothing for {STALL_SECONDS:g} s"


class LogWriter:
    """The log of one start: a queue of 128 KiB and a daemon thread that writes it to disk.

    Lines of one stream keep their order. While the disk accepts writes, a full queue blocks its callers. Lines are
    dropped, and counted, if a write fails or the queue stays full for STALL_SECONDS; as soon as a write works again a
    SYS line says how many. Opening the first segment raises OSError; later failures are never raised.
    """

    def __init__(
        self,
        folder: str,
        caps: Caps | None = None,
        clock: Callable[[], float] = time.time,
        stamp: str | None = None,
        untold: memoryview | None = None,
    ) -> None:
        """Begin the log of a new start, or continue a killed writer's: `stamp` and `untold` are that writer's.

        `untold` is the shared count of lost lines that no SYS line has reported yet.
        """
        caps = caps or Caps()
        self._clock = clock
        self._folder = folder
        self._file = SegmentedFile(folder, caps, clock(), stamp)
        self.stamp = self._file.stamp
        self._portion_bytes = min(_PORTION_BYTES, caps.segment_bytes)

        self._recent = {"OUT": b"", "ERR": b""}
        self._cause = b"", 0.0
        # Guarded by the condition, which is notified of every change of the queue.
        self._changed = threading.Condition()
        self._queue: deque[tuple[bytes, bytes, int, Settle | None, int]] = deque()
        self._queued_bytes = 0
        self._taken_at = 0.0
        self._is_stalled = False
        self._is_closing = False
        self._dropped = 0
        # From here on for the writing thread alone.
        self.untold = untold or shared_number()
        self._lost = self.untold[0]
        self._reason = _UNKNOWN
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """Path of the segment that is being written."""
        return self._file.path

    def count_after(self, stream: Literal["OUT", "ERR"], spool: Spool) -> int:
        """How many lines of `stream` the log holds beyond the spool's settled position. Call it before any `write`."""
        settled = spool.settled
        return count_after(self._folder, self.stamp, (settled.segment, settled.size), stream)

    def write(
        self,
        stream: Literal["OUT", "ERR", "SYS"],
        lines: bytes,
        settle: Settle | None = None,
        size: int | None = None,
    ) -> None:
        """Stamp clean whole lines with the present time and queue them.

        Blocks while the queue is full, until the disk has taken nothing for STALL_SECONDS; then the lines are dropped.
        `settle` is called on the writing thread, with the log's segment and size, once they are written or given up.
        `size` is how much room they take in the queue, by default their length.
        """
        prefix = line_prefix(stream, self._clock())
        size = len(lines) if size is None else size
        cause = cause_in(lines) if stream in self._recent else b""
        with self._changed:
            if stream in self._recent:
                self._recent[stream] = (self._recent[stream] + lines[-_RECENT_BYTES:])[-_RECENT_BYTES:]
            if cause:
                self._cause = cause, time.monotonic()
            if self._is_closing:
                return
            if not self._gets_room(size):
                self._dropped += lines.count(b"\n")
                return
            self._queue.append((prefix, lines, self._dropped, settle, size))
            self._queued_bytes += size
            self._dropped = 0
            self._changed.notify_all()

    def note(self, text: str) -> None:
        """Queue `text` as a SYS line of our own, or as several if it has line breaks."""
        self.write("SYS", clean(text.encode("utf-8", "backslashreplace") + b"\n"))

    def last(self, n: int = 20) -> list[str]:
        """The last `n` lines of ERR, or of OUT if ERR was empty, whether written to disk or not; 16 KiB at most.

        If a line of the last 10 s named the cause of an end (`core.logs.failure_cause`) and is not among them, it comes
        first, in place of the oldest.
        """
        with self._changed:
            recent = self._recent["ERR"] or self._recent["OUT"]
            cause, told_at = self._cause
        lines = recent.split(b"\n")[:-1]
        if len(recent) == _RECENT_BYTES and len(lines) > 1:
            # The buffer is full, so its first line has probably lost its beginning.
            del lines[0]
        del lines[:-n]
        if cause and cause not in lines and time.monotonic() - told_at < _CAUSE_SECONDS:
            lines = [cause, *lines[max(0, len(lines) - n + 1) :]]
        return [line.decode("utf-8", "replace") for line in lines]

    def close(self, timeout: float) -> bool:
        """Take no more lines, write what is queued, close the file; False if that took over `timeout` seconds."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _gets_room(self, size: int) -> bool:
        """Wait, with the condition held, until the queue has room; False if the disk took nothing for STALL_SECONDS.

        Once stalled, it returns False at once until an entry has been written, so that the child is not slowed further.
        """
        began = time.monotonic()
        while self._queue and self._queued_bytes + size > _QUEUE_BYTES:
            left = max(began, self._taken_at) + STALL_SECONDS - time.monotonic()
            if self._is_stalled or left <= 0:
                self._is_stalled = True
                return False
            self._changed.wait(left)
        self._is_stalled = False
        return True

    def _run(self) -> None:
        while entry := self._next():
            prefix, lines, dropped, settle, _ = entry
            self._note_loss(dropped, _STALLED)
            for portion in _portions(lines, self._portion_bytes) if lines else ():
                if self._mark_loss():
                    lost = self._file.append(prefix + portion[:-1].replace(b"\n", b"\n" + prefix) + b"\n")
                else:
                    lost = portion.count(b"\n")
                self._note_loss(lost, self._file.fault)
            if settle:
                settle(*self._file.end)
            self.untold[0] = self._lost
        self._note_loss(self._dropped, _STALLED)
        self._mark_loss()
        self._file.close()

    def _next(self) -> tuple[bytes, bytes, int, Settle | None, int] | None:
        with self._changed:
            while not self._queue:
                if self._is_closing:
                    return None
                self._changed.wait()
            entry = self._queue.popleft()
            self._queued_bytes -= entry[4]
            self._taken_at = time.monotonic()
            self._changed.notify_all()
            return entry

    def _note_loss(self, lost: int, reason: str) -> None:
        if lost:
            self._lost += lost
            self._reason = reason

    def _mark_loss(self) -> bool:
        """Write the SYS line about lost lines, if any. False if even that cannot be written."""
        if not self._lost:
            return True
        count = "1 line was" if self._lost == 1 else f"{self._lost} lines were"
        marker = line_prefix("SYS", self._clock()) + f"{count} lost: {self._reason}\n".encode()
        if self._file.append(marker):
            return False
        self._lost = self.untold[0] = 0
        return True


def _portions(lines: bytes, most: int) -> Iterator[bytes]:
    """The same lines in groups of at most `most` bytes with their prefixes; a longer line is a group of its own."""
    size = len(lines) + lines.count(b"\n") * PREFIX_BYTES
    middle = lines.rfind(b"\n", 0, len(lines) // 2) + 1 or lines.find(b"\n") + 1
    if size <= most or middle == len(lines):
        yield lines
        return
    yield from _portions(lines[:middle], most)
    yield from _portions(lines[middle:], most)
