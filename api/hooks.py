"""What the sidecar tells whoever runs it. The defaults suit a headless one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _nothing() -> None:
    return


async def _nobody() -> str | None:
    return "It runs without an icon."


@dataclass(frozen=True, slots=True)
class Hooks:
    """Called on the loop.

    `on_null_refused`: a page with `Origin: null` was refused, as a packaged desktop app's pages are. `on_show`: another
    instance asks this one to show itself; returns, within a second or so, why nothing is to be seen, in a sentence or
    two, or None where something is.
    """

    on_null_refused: Callable[[], None] = _nothing
    on_show: Callable[[], Awaitable[str | None]] = _nobody


HEADLESS = Hooks()
