"""Writes a report into a file that the user names. The only thing that the doctor ever writes."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from core.doctor.report import HEADING


class NotOverwritten(Exception):
    """The file is there, and is no earlier report; it is unchanged."""


def save(path: Path, text: str, *, force: bool) -> None:
    """Write `text` there, whole or not at all, for this user alone to read.

    An earlier report is replaced, anything else only with `force`. Blocks on the disk. Raises NotOverwritten, or
    OSError if it cannot be written.
    """
    # A link stays a link: its target is replaced.
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        # A device or a pipe cannot be replaced, and a folder is not a file.
        raise NotOverwritten(f"{path} is not a plain file.")
    if status is not None and not force:
        with target.open("rb") as file:
            if not file.read(len(HEADING)) == HEADING.encode():
                raise NotOverwritten(f"{path} is there, and is no earlier report.")
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
