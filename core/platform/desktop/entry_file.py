"""Writes and removes the desktops' own entries, atomically: to a temporary file whose name no session reads, renamed.

An obstacle raises an OSError whose text is a sentence for a person, with the way out.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def write(path: str, content: bytes) -> None:
    """Replace the file atomically, and create its folders. Raises OSError; then the old file is unchanged."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".aura-ollama.")
    except OSError as error:
        raise _in_words(error, path) from error
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except BaseException as error:
        os.unlink(draft)
        if isinstance(error, OSError):
            raise _in_words(error, path) from error
        raise


def remove(path: str) -> None:
    """Remove the entry; fine if there is none. Raises OSError."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _in_words(error, path) from error


def _in_words(error: OSError, path: str) -> OSError:
    """What keeps the entry at `path` from being written or removed, and the way out; `error` itself if that is new."""
    folders = [str(folder) for folder in reversed(Path(path).parents)]
    for folder in folders:
        if os.path.lexists(folder) and not os.path.isdir(folder):
            return OSError(f"{folder} is in the way: it is no folder. Rename or remove it, and try again.")
    if os.path.isdir(path):
        return OSError(f"{path} is in the way: it is a folder. Rename or remove it, and try again.")
    if error.errno in _NO_RIGHT:
        there = next((folder for folder in reversed(folders) if os.path.isdir(folder)), folders[0])
        return OSError(
            f"{there} cannot be written to ({error.strerror}). Give yourself the right to write there, and try again."
        )
    return error
