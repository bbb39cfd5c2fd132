"""What rooms above supervision have a say in: the environment of a start, and what is done before a stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


def _no_environment(instance: str) -> Mapping[str, str]:
    return {}


async def _nothing(instance: str) -> None:
    pass


@dataclass(slots=True)
class Hooks:
    """Called on the supervisor's loop with the id of an instance. Set them before anything is started."""

    start_environment: Callable[[str], Mapping[str, str]] = _no_environment
    """Variables that the Ollama gets unless the settings give them. Asked at each start; returns at once."""
    before_stop: Callable[[str], Awaitable[None]] = _nothing
    """Awaited before a managed Ollama is asked to end, for 2 s at most. What it raises goes to the log."""
