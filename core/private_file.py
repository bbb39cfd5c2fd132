"""Small files for this user's eyes only, never seen half written. Standard library only, for the shim's sake."""

from __future__ import annotations

import os

from core.platform import replace_file, unlink_file


def write(path: str, text: str) -> None:
    """Put `text` there at once, whole. Raises OSError that names a file, with what was there before left as it was."""
    draft = f"{path}.{os.getpid()}.new"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        replace_file(draft, path)
    except OSError as error:
        unlink_file(draft)
        # A write that fails does not say where.
        error.filename = error.filename or path
        raise
