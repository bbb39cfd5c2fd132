"""What the sidecar tells whoever runs it. The defaults suit a headless one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nothing() -> None:
    return


def _nobody() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Hooks:
    """Called on the loop; they return at once.

    `on_null_refused`: a page with `Origin: null` was refused, as a packaged desktop app's pages are. `on_show`: another
    instance asks this one to show itself; returns whether there is anything to show.
    """

    on_null_refused: Callable[[], None] = _nothing
    on_show: Callable[[], bool] = _nobody


HEADLESS = Hooks()
