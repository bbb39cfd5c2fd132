"""The place in what a container has printed up to which its lines are told. Pure.

An engine gives lines with their time stamps, and can be asked for those since a second. That alone is no place: a
second holds many lines, Podman's stamps have no fractions, and two streams may be stamped out of order. But an engine
keeps lines in one order. So a `Cursor` is a second, how many lines since it have been taken, and the last of them as a
digest. To go on, the lines since that second are read again, and as many as were taken are passed over. If the last of
these is another one than it was, because the engine has dropped old lines meanwhile or the clock was set back, the last
line that was taken is looked for instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from core.owners.copied import Line


def digest(line: Line) -> str:
    """A short text that is the same for the same line."""
    whole = f"{line.stream} {line.seconds!r} ".encode() + line.text
    return hashlib.blake2b(whole, digest_size=8).hexdigest()


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """The place after a line of the container `id`, in the log of its run that began at `run`. See above."""

    id: str
    run: str = ""
    since: int = 0
    taken: int = 0
    last: str = ""

    def text(self) -> str:
        """It as a text of some 150 characters."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str | None) -> Cursor | None:
        """The cursor of a text; None for a text that is none."""
        try:
            return msgspec.json.decode(text, type=cls) if text else None
        except msgspec.MsgspecError:
            return None


class Place:
    """The place in what a container has printed up to which lines are told, and which of those that come are beyond it.

    Each line that `take` and its like return is to be noted by `advance`, in this order, before the next is asked for.
    """

    def __init__(self, id: str, cursor: Cursor | None) -> None:
        self.cursor = cursor if cursor and cursor.id == id else Cursor(id)
        self._again: list[Line] | None = None
        # How many lines were taken of each of the last seconds, and the last of these.
        self._seconds: dict[int, int] = {}
        self._latest = 0
        self.is_lost = False
        """Whether other lines came than those that were taken before: what is new among them cannot be told yet."""
        self.look_again()

    @property
    def is_looking(self) -> bool:
        """Whether lines that were taken before are still being passed over."""
        return self._again is not None

    @property
    def is_new(self) -> bool:
        """Whether no line of this container has been taken yet."""
        return not self.cursor.last

    def ends_with(self, line: Line) -> bool:
        """Whether that is the last line that was taken."""
        return digest(line) == self.cursor.last

    def look_again(self) -> None:
        """Begin anew: all lines since the second of the cursor come once more."""
        self._again = None if self.is_new else []
        self._seconds, self._latest, self.is_lost = {}, 0, False

    def take_all(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that are new; these are all that there are.

        Where the engine has dropped old lines, or the clock was set back, the last one that was taken is looked for.
        """
        new = self.take(lines)
        if self._again is None:
            return new
        digests = [digest(line) for line in self._again]
        known = len(digests) - digests[::-1].index(self.cursor.last) if self.cursor.last in digests else 0
        return self._resume(known)

    def take(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that are new."""
        if self._again is None:
            return list(lines)
        self._again += lines
        if len(self._again) < self.cursor.taken:
            return []
        self.is_lost = not 0 < self.cursor.taken <= len(self._again) or not self.ends_with(
            self._again[self.cursor.taken - 1]
        )
        return [] if self.is_lost else self._resume(self.cursor.taken)

    def _resume(self, known: int) -> list[Line]:
        again, self._again, self.is_lost = self._again or [], None, False
        self.advance(again[:known])
        return again[known:]

    def advance(self, lines: Sequence[Line], run: str = "") -> None:
        """Note that these lines are told. `run` is the run of the last one, if that is known."""
        if not lines:
            return
        for line in lines:
            second = int(line.seconds)
            if second < self._latest - 1:
                # The clock was set back: what comes is earlier than all that came.
                self._seconds, self._latest = {}, second
            elif second > self._latest:
                self._latest = second
                self._seconds = {each: count for each, count in self._seconds.items() if each >= second - 1}
            self._seconds[second] = self._seconds.get(second, 0) + 1
        taken = sum(self._seconds.values())
        self.cursor = Cursor(self.cursor.id, run or self.cursor.run, self._latest - 1, taken, digest(lines[-1]))

    def after(self, since: int, lines: Sequence[Line]) -> Place:
        """The place after lines that the engine has told of that second and later, for a stream that repeats them."""
        return Place(self.cursor.id, Cursor(self.cursor.id, "", since, len(lines), digest(lines[-1]) if lines else ""))
