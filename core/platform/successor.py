"""What takes over a killed shim's work in its guard: the interface that `core.platform` calls."""

from __future__ import annotations


class Successor:
    """Does nothing; subclasses act. All methods run in the guard process, never on Windows, where there is no guard."""

    def __init__(self, descriptors: list[int]) -> None:
        """The guard keeps `descriptors` open and closes all others. The shim must not close or reuse them."""
        self.descriptors = descriptors

    def begin(self) -> None:
        """Called once, when the shim has died and before its tree is stopped."""

    def on_unkillable(self, pids: list[int]) -> None:
        """Called, perhaps repeatedly, when these members of the tree are alive after SIGKILL."""

    def end(self) -> None:
        """Called once, when no process of the tree is left."""
