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
from core.logs.segments import Caps, SegmentedFile, line_prefix
from core.logs.tail import count_after
from core.shim.spool import Spool, shared_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    Settle = Callable[[int, int], None]

STALL_SECONDS = 1.0

_QUEUE_BYTES = 128 * 1024
# Lines that come within one second are joined to one entry of the queue up to this size.
_ENTRY_BYTES = 64 * 1024
# How much is written at once: what an entry of ordinary lines takes with its prefixes.
_PORTION_BYTES = 128 * 1024
_RECENT_BYTES = 16 * 1024
# An older line that names a cause was probably about a model runner, not about the end of Ollama itself.
_CAUSE_SECONDS = 10.0
_UNKNOWN = "the disk did not take them"
_STALLED = f"the disk took nothing for {STALL_SECONDS:g} s"


class _Entry:
    """Lines in the queue that get one prefix, in `blocks` of whole lines. The writing thread alone has it once taken.

    `dropped` lines were lost before it; it takes `size` bytes of the queue's room.
    """

    __slots__ = ("blocks", "dropped", "prefix", "settle", "size")

    def __init__(self, prefix: bytes, blocks: list[bytes], dropped: int, settle: Settle | None, size: int) -> None:
        self.prefix = prefix
        self.blocks = blocks
        self.dropped = dropped
        self.settle = settle
        self.size = size


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
        self._prefixes = {"OUT": (0, b""), "ERR": (0, b""), "SYS": (0, b"")}
        # Guarded by the condition, which is notified of every change of the queue.
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()
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
        *blocks: bytes,
        settle: Settle | None = None,
        size: int | None = None,
    ) -> None:
        """Stamp clean whole lines with the present time and queue them. All of them or none are queued.

        Blocks while the queue is full, until the disk has taken nothing for STALL_SECONDS; then the lines are dropped.
        `settle` is called on the writing thread, with the log's segment and size, once they are written or given up;
        not if later lines of the stream are written with them, because then the `settle` of those is called alone.
        `size` is how much room they take in the queue, by default their length.
        """
        filled = [block for block in blocks if block]
        size = sum(map(len, filled)) if size is None else size
        prefix = self._prefix(stream)
        is_output = stream != "SYS"
        cause = b""
        for block in filled if is_output else ():
            cause = cause_in(block) or cause
        with self._changed:
            if is_output:
                for block in filled:
                    recent = self._recent[stream] + block if len(block) < _RECENT_BYTES else block
                    self._recent[stream] = recent[-_RECENT_BYTES:]
            if cause:
                self._cause = cause, time.monotonic()
            if self._is_closing:
                return
            if not self._gets_room(size):
                self._dropped += sum(block.count(b"\n") for block in filled)
                return
            last = self._queue[-1] if self._queue else None
            if last and last.prefix == prefix and last.size + size <= _ENTRY_BYTES and not self._dropped:
                last.blocks += filled
                last.settle = settle
                last.size += size
            else:
                self._queue.append(_Entry(prefix, filled, self._dropped, settle, size))
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

    def _prefix(self, stream: Literal["OUT", "ERR", "SYS"]) -> bytes:
        """The `line_prefix` of this moment, which is made once a second."""
        now = self._clock()
        second, prefix = self._prefixes[stream]
        if second != int(now):
            prefix = line_prefix(stream, now)
            self._prefixes[stream] = int(now), prefix
        return prefix

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
            self._note_loss(entry.dropped, _STALLED)
            for portion in _portions(entry.prefix, entry.blocks, self._portion_bytes):
                lost = self._file.append(portion) if self._mark_loss() else portion.count(b"\n")
                self._note_loss(lost, self._file.fault)
            if entry.settle:
                entry.settle(*self._file.end)
            if self.untold[0] != self._lost:
                self.untold[0] = self._lost
        self._note_loss(self._dropped, _STALLED)
        self._mark_loss()
        self._file.close()

    def _next(self) -> _Entry | None:
        with self._changed:
            while not self._queue:
                if self._is_closing:
                    return None
                self._changed.wait()
            entry = self._queue.popleft()
            self._queued_bytes -= entry.size
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


def _portions(prefix: bytes, blocks: list[bytes], most: int) -> Iterator[bytes]:
    """The lines of the blocks with their prefixes, in pieces of at most `most` bytes; a longer line is a piece."""
    newline = b"\n" + prefix
    # What is stamped at once is not longer than `most` even if each of its lines is empty.
    at_once = most // len(newline)
    size = len(prefix)
    parts = [prefix]
    for block in blocks:
        start = 0
        while start < len(block):
            end = len(block)
            if end - start > at_once:
                end = block.rfind(b"\n", start, start + at_once) + 1 or block.index(b"\n", start) + 1
            # Its last line end brings the prefix of what follows, which is cut off if nothing does.
            stamped = block[start:end].replace(b"\n", newline)
            start = end
            if size + len(stamped) > most + len(prefix) and len(parts) > 1:
                yield b"".join(parts)[: -len(prefix)]
                parts = [prefix]
                size = len(prefix)
            parts.append(stamped)
            size += len(stamped)
    if len(parts) > 1:
        yield b"".join(parts)[: -len(prefix)]
