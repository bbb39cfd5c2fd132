"""Who takes the place of a shim that was killed, as its guard knows him."""

from __future__ import annotations


class Successor:
    """One who does nothing. Where the kernel ends the tree with its shim, nobody is called at all."""

    def __init__(self, descriptors: list[int]) -> None:
        """The guard, which closes all else, keeps `descriptors` open. They must stay what they are."""
        self.descriptors = descriptors

    def begin(self) -> None:
        """Called when the shim is gone and its tree is about to be stopped."""

    def on_unkillable(self, pids: list[int]) -> None:
        """Called, perhaps more than once, when these members of the tree live on though they were killed."""

    def end(self) -> None:
        """Called when nothing of the tree is left."""
