"""Windows: folders inside a private one, which nobody else can exchange. Contract: `core.platform.private_tree`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

from core.platform.windows import unlink_file


def names(folder: str) -> list[str]:
    """Contract: `core.platform.private_tree`."""
    return os.listdir(folder)


def contents(folder: str, name: str, skip: str = "") -> Iterator[tuple[str, bytes]]:
    """Contract: `core.platform.private_tree`."""
    top = Path(folder, name)
    for path in top.rglob("*"):
        if not path.is_dir() and skip not in path.relative_to(top).parts:
            yield path.relative_to(top).as_posix(), path.read_bytes()


def create(folder: str, name: str, files: Iterable[tuple[str, bytes, bool]]) -> None:
    """Contract: `core.platform.private_tree`. Programs are known by their names here."""
    top = Path(folder, name)
    top.mkdir()
    for path, content, _ in files:
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def remove(folder: str, name: str, program: str = "") -> None:
    """Contract: `core.platform.private_tree`."""
    top = Path(folder, name)
    if not program or unlink_file(str(top / program)):
        shutil.rmtree(top, ignore_errors=True)
