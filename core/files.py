"""Small files that only this user may read, replaced atomically. Standard library only, because the shim imports it."""

from __future__ import annotations

import errno
import os

from core.platform import (
    close_to_others,
    create_private,
    is_closed_to_others,
    open_private,
    replace_private,
    unlink_private,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

# The largest file is a start's spec, with an environment of 512 KiB in which JSON may write each byte as `\u00XX`.
_MOST_BYTES = 4 << 20


def write(path: str, text: str) -> None:
    """Replace the file by `text`, atomically. Raises OSError that names a file; then the old content is unchanged."""
    draft = f"{path}.{os.getpid()}.new"
    # A draft that a killed process left, or that somebody planted, must not be reused.
    unlink_private(draft)
    try:
        with os.fdopen(create_private(draft), "w", encoding="utf-8") as file:
            file.write(text)
        replace_private(draft, path)
    except OSError as error:
        unlink_private(draft)
        # An error of write(2) names no file.
        error.filename = error.filename or path
        raise


def read(path: str) -> str:
    """The file's text. Raises OSError; EFBIG beyond 4 MiB, PermissionError if another user may have written it.

    Bytes that are not UTF-8 are replaced. If other users could read the file, that right is taken away.
    """
    return _read(path)[0]


def read_secret(path: str) -> str:
    """As `read`, but raises PermissionError (EPERM) also if other users could read the file until now."""
    text, was_closed = _read(path)
    if not was_closed:
        raise PermissionError(errno.EPERM, "Another user may have read it", path)
    return text


def peek(path: str) -> tuple[str, bool]:
    """The file's text, and whether no other user could read it. As `read`, but changes nothing: no right is taken away.

    Raises OSError as `read` does.
    """
    with os.fdopen(open_private(path), "rb") as file:
        return _text(file, path), is_closed_to_others(file.fileno())


def _read(path: str) -> tuple[str, bool]:
    # Everything is done on one descriptor, so that the file cannot be exchanged in between.
    with os.fdopen(open_private(path), "rb") as file:
        try:
            was_closed = close_to_others(file.fileno())
        except OSError as error:
            error.filename = path
            raise
        return _text(file, path), was_closed


def _text(file: BinaryIO, path: str) -> str:
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        # A truncated text would be reported as damaged JSON.
        raise OSError(errno.EFBIG, f"It is larger than {_MOST_BYTES >> 20} MiB", path)
    return content.decode("utf-8", "replace")
