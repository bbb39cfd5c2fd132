"""What one pump has read and its log has not taken yet, in memory that a forked guard shares and a killed shim leaves.

A ring of bytes and a few numbers, each of which is stored in one piece, so that a SIGKILL between any two steps leaves
something to go by. One pump reads, one log writer settles; neither waits for the other. Standard library only.
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
# Of a byte that no text in UTF-8 has. One that ends an uncounted read is not told from it, and lost.
_BLANK = b"\xff" * MOST_READ
# Places of the numbers. A position in the stream counts its bytes from the start.
_TAKEN, _BLANK_UNTIL, _LATEST = 0, 1, 2
_SETTLED = (3, 6)


def shared_number() -> memoryview:
    """The place of a number, 0 as yet, that whoever is forked from us shares. It is stored in one piece."""
    return memoryview(mmap.mmap(-1, 8)).cast("Q")


class Settled:
    """Up to where a stream is settled: `position` in it, and where the log ended then, as segment and size in bytes."""

    __slots__ = ("position", "segment", "size")

    def __init__(self, position: int, segment: int, size: int) -> None:
        self.position = position
        self.segment = segment
        self.size = size


class Spool:
    """The last bytes of one stream that are not settled: 448 KiB of them; what is more, is given up."""

    def __init__(self) -> None:
        # Without a name, and so on no disk: what is in it has not been cleaned of secrets.
        memory = memoryview(mmap.mmap(-1, _HEADER + _RING))
        self._numbers = memory[:_HEADER].cast("Q")
        self._ring = memory[_HEADER:]

    @property
    def taken(self) -> int:
        """How many bytes have been read in all."""
        return self._numbers[_TAKEN]

    @property
    def settled(self) -> Settled:
        """What `settle` said last."""
        numbers = self._numbers
        at = _SETTLED[numbers[_LATEST]]
        return Settled(numbers[at], numbers[at + 1], numbers[at + 2])

    def read(self, pipe: FileIO) -> bytes:
        """The next bytes of the pipe, MOST_READ at most; empty at its end. Raises OSError as the pipe does."""
        numbers = self._numbers
        taken = numbers[_TAKEN]
        room = self._room(taken)
        # Were this one killed after a read and before it is counted, what is not blank there would be what was read.
        numbers[_BLANK_UNTIL] = taken
        room[:] = _BLANK[: len(room)]
        numbers[_BLANK_UNTIL] = taken + len(room)
        count = pipe.readinto(room) or 0
        numbers[_TAKEN] = taken + count
        return bytes(room[:count])

    def settle(self, position: int, segment: int, size: int) -> None:
        """Note that all before `position` is in the log or given up, and where the log ends with it."""
        numbers = self._numbers
        spare = 1 - numbers[_LATEST]
        at = _SETTLED[spare]
        numbers[at], numbers[at + 1], numbers[at + 2] = position, segment, size
        numbers[_LATEST] = spare

    def unsettled(self) -> bytes | None:
        """What is not settled of all that has been read; counted as taken from then on.

        For whoever goes on in place of a killed reader. None if there was more than there is room for.
        """
        numbers = self._numbers
        taken, position = numbers[_TAKEN], self.settled.position
        uncounted = bytes(self._room(taken)[: max(0, numbers[_BLANK_UNTIL] - taken)]).rstrip(_BLANK[:1])
        numbers[_TAKEN] = numbers[_BLANK_UNTIL] = taken + len(uncounted)
        # A read may have begun to make room for itself.
        if taken + MOST_READ - position > _RING:
            return None
        return self._between(position, taken) + uncounted

    def _room(self, position: int) -> memoryview:
        at = position % _RING
        return self._ring[at : min(at + MOST_READ, _RING)]

    def _between(self, begin: int, end: int) -> bytes:
        first, last = begin % _RING, end % _RING
        if begin == end or first < last:
            return bytes(self._ring[first:last])
        return bytes(self._ring[first:]) + bytes(self._ring[:last])
