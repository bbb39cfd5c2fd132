"""What one pump has read from its pipe and the log does not hold yet, in memory that shim and guard share.

How the spool works: bytes that were read from a pipe are gone from it, so a shim that is killed between read(2) and
write(2) would lose them. They are therefore read straight into a ring in shared anonymous memory (mmap(2), MAP_SHARED),
which the forked guard sees too. A few 64-bit numbers beside the ring tell what it holds. Each is stored by one aligned
8-byte write, which a SIGKILL cannot cut in two, and they are written in such an order that the ring can be read after
a kill between any two steps:

- `taken`: the position in the stream (bytes from its start) up to which reads are counted.
- `blank until`: before each read what it may fill of the ring is 0xFF, a byte that UTF-8 never uses, and this is the
  position up to which it is. What a read does not fill stays so for the next one. If the shim is killed after a read
  and before `taken` is updated, whatever is no longer 0xFF there is what that read brought.
- `settled`: the position up to which the log holds everything, and the log's segment and size at that moment. Three
  numbers cannot be stored at once, so there are two sets of them, and `latest` says which one counts.

A successor reads from `settled` on, and asks the log itself which of those lines were written after all: its size at
the settled position is known. One pump reads, one log writer settles; neither waits for the other. Standard library
only.
"""

from __future__ import annotations

import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import FileIO

MOST_READ = 64 * 1024
# More than twice what a pump and its log writer hold together of ordinary text.
_RING = 8 * MOST_READ
_HEADER = 128
# No UTF-8 text contains this byte. If other data ends with it, and that read was not counted, the end is lost.
_BLANK = memoryview(b"\xff" * MOST_READ)
# Indexes of the numbers.
_TAKEN, _BLANK_UNTIL, _LATEST = 0, 1, 2
_SETTLED = (3, 6)


def shared_number() -> memoryview:
    """A 64-bit number, 0 at first, shared with every process that is forked from now on. Its writes are atomic."""
    return memoryview(mmap.mmap(-1, 8)).cast("Q")


class Settled:
    """The `position` up to which a stream is settled, and where the log ended then: segment number and bytes in it."""

    __slots__ = ("position", "segment", "size")

    def __init__(self, position: int, segment: int, size: int) -> None:
        self.position = position
        self.segment = segment
        self.size = size


class Spool:
    """The unsettled bytes of one stream, up to 448 KiB. If there are more, a successor cannot recover them."""

    def __init__(self) -> None:
        # Anonymous memory, never a file: the bytes in it have not been redacted.
        memory = memoryview(mmap.mmap(-1, _HEADER + _RING))
        self._numbers = memory[:_HEADER].cast("Q")
        self._ring = memory[_HEADER:]

    @property
    def taken(self) -> int:
        """How many bytes have been read in all."""
        return self._numbers[_TAKEN]

    @property
    def settled(self) -> Settled:
        """What `settle` stored last."""
        numbers = self._numbers
        at = _SETTLED[numbers[_LATEST]]
        return Settled(numbers[at], numbers[at + 1], numbers[at + 2])

    def read(self, pipe: FileIO) -> bytes:
        """Read at most MOST_READ bytes from the pipe; empty at its end. Blocks; raises OSError as the pipe does."""
        numbers = self._numbers
        taken = numbers[_TAKEN]
        room = self._room(taken)
        is_blank = numbers[_BLANK_UNTIL] - taken
        if is_blank < len(room):
            # First fill, then declare it: a kill in between never shows old bytes as new ones.
            room[is_blank:] = _BLANK[is_blank : len(room)]
            numbers[_BLANK_UNTIL] = taken + len(room)
        count = pipe.readinto(room) or 0
        numbers[_TAKEN] = taken + count
        return bytes(room[:count])

    def settle(self, position: int, segment: int, size: int) -> None:
        """Store that all before `position` is in the log or given up, and where the log ends now. Atomic."""
        numbers = self._numbers
        spare = 1 - numbers[_LATEST]
        at = _SETTLED[spare]
        numbers[at], numbers[at + 1], numbers[at + 2] = position, segment, size
        numbers[_LATEST] = spare

    def unsettled(self) -> bytes | None:
        """All bytes that were read and are not settled, counted as taken from then on; None if the ring has lost some.

        For the successor of a killed reader.
        """
        numbers = self._numbers
        taken, position = numbers[_TAKEN], self.settled.position
        uncounted = bytes(self._room(taken)[: max(0, numbers[_BLANK_UNTIL] - taken)]).rstrip(b"\xff")
        numbers[_TAKEN] = numbers[_BLANK_UNTIL] = taken + len(uncounted)
        # The killed reader may have blanked up to MOST_READ bytes of the ring for its next read.
        if taken + MOST_READ - position > _RING:
            return None
        first, last = position % _RING, taken % _RING
        if position == taken or first < last:
            return bytes(self._ring[first:last]) + uncounted
        return bytes(self._ring[first:]) + bytes(self._ring[:last]) + uncounted

    def _room(self, position: int) -> memoryview:
        """Where in the ring the next read goes: at most MOST_READ bytes, without wrapping around."""
        at = position % _RING
        return self._ring[at : min(at + MOST_READ, _RING)]
