"""The output of each instance, whatever owner it has, whether the instance runs or not.

Every owner's lines are in the instance's own folder: a shim writes them there, and `copied.LogCopy` copies there what
something else keeps, such as a journal. So a log goes on over a change of the owner, its limits are those of the
settings, and a `Place` in it stays valid.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from core.logs import places, tail
from core.logs.follow import Follower, Portion
from core.logs.places import Block, Place
from core.settings.paths import DEFAULT_INSTANCE, Paths

T = TypeVar("T")


class Logs(Protocol):
    """The lines of one instance over all its starts, each `[OUT|ERR|SYS] yyyy-MM-dd HH:mm:ss message`, UTC."""

    @property
    def place(self) -> str:
        """Where they are kept, in words for a person."""

    def tail(self, most_lines: int) -> list[str]:
        """The last complete lines, oldest first. Blocks: call it in a thread. Raises OSError."""

    def follow(self, encode: Callable[[Portion], T]) -> Follower[T]:
        """A follower that all readers of these lines share: one thread, which `encode`s each portion once for all."""

    def end(self) -> Place:
        """The place after all that has been printed until now. Blocks: call it in a thread. Raises OSError."""

    def end_of_output(self) -> Place | None:
        """As `end`, but None as long as the newest log holds only lines of ours (SYS) and none of Ollama's own."""

    def after(self, place: Place) -> Block | None:
        """The next complete lines after a place, 64 KiB at most; None if there are none. Blocks, and raises, as `end`.

        For callers that read now and then: nothing is read between two calls.
        """


class FolderLogs:
    """The logs that shims write into one folder. Contract: `Logs`."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)

    def tail(self, most_lines: int) -> list[str]:
        """Contract: `Logs.tail`."""
        return tail.tail(self.place, most_lines)

    def follow(self, encode: Callable[[Portion], T]) -> Follower[T]:
        """Contract: `Logs.follow`."""
        return Follower(self.place, encode)

    def end(self) -> Place:
        """Contract: `Logs.end`."""
        return places.end_of(self.place)

    def end_of_output(self) -> Place | None:
        """Contract: `Logs.end_of_output`."""
        newest = tail.newest(self.place)
        return self.end() if newest and tail.holds_output(newest) else None

    def after(self, place: Place) -> Block | None:
        """Contract: `Logs.after`."""
        return places.following(self.place, place)


def logs_of(paths: Paths, instance: str = DEFAULT_INSTANCE) -> Logs:
    """The logs of an instance. Raises ConfigError if no instance can have that id."""
    return FolderLogs(paths.logs_of(instance))
