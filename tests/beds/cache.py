"""The folder that keeps built beds between runs, and the rule that each is built once and seen only whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

BUILD_DEADLINE = 600.0
"""Seconds that one run waits for another that is building the same bed."""


def folder() -> Path:
    """`$AURA_BED_CACHE`, else `aura-ollama-beds` in the user's cache folder. Made if it is missing."""
    chosen = os.environ.get("AURA_BED_CACHE")
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(chosen) if chosen else Path(user_cache) / "aura-ollama-beds"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def built(name: str, build: Callable[[Path], None]) -> Path:
    """The cached folder `name`, which `build` fills first if nobody has.

    `build` works in a folder beside it that gets the name only at its end: a bed under its name is always whole.
    Other threads and processes that want the same bed wait for the first one's. What `build` raises goes to the
    caller, and nothing is kept.
    """
    place = folder() / name
    if place.is_dir():
        return place
    with FileLock(f"{place}.lock", timeout=BUILD_DEADLINE):
        if not place.is_dir():
            _build_beside(place, build)
    return place


def _build_beside(place: Path, build: Callable[[Path], None]) -> None:
    for abandoned in place.parent.glob(f"{place.name}.part-*"):
        # We hold the lock, so whoever began this is dead.
        shutil.rmtree(abandoned, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{place.name}.part-", dir=place.parent))
    try:
        build(part)
        part.chmod(0o755)
        part.rename(place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
