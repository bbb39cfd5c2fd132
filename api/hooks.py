"""Callbacks from the sidecar to the program that runs it. The defaults are for a headless one."""

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

    `on_null_refused`: a page with `Origin: null` was refused; pages of packaged desktop apps have that origin. It must
    return at once. `on_show`: another instance asks this one to show itself; returns within about a second None if
    something is visible, else one or two sentences that say why not.
    """

    on_null_refused: Callable[[], None] = _nothing
    on_show: Callable[[], Awaitable[str | None]] = _nobody


HEADLESS = Hooks()
