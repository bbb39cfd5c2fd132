"""Small files for this user's eyes only, never seen half written. Standard library only, for the shim's sake."""

from __future__ import annotations

import errno
import os

from core.platform import close_to_others, create_private, open_private, replace_private, unlink_private

# A start's specification, with an environment of 512 KiB in which JSON writes each byte as six.
_MOST_BYTES = 4 << 20


def write(path: str, text: str) -> None:
    """Put `text` there at once, whole. Raises OSError that names a file, with what was there before left as it was."""
    draft = f"{path}.{os.getpid()}.new"
    # One that a killed process left, or that somebody planted, is not written through.
    unlink_private(draft)
    try:
        with os.fdopen(create_private(draft), "w", encoding="utf-8") as file:
            file.write(text)
        replace_private(draft, path)
    except OSError as error:
        unlink_private(draft)
        # A write that fails does not say where.
        error.filename = error.filename or path
        raise


def read(path: str) -> str:
    """What is there. Raises OSError; EFBIG if it is more than 4 MiB, PermissionError if others may have written it.

    Bytes that are no UTF-8 are replaced. If others could read it, they no longer can.
    """
    return _read(path)[0]


def read_secret(path: str) -> str:
    """As `read`, but raises PermissionError (EPERM) also if others could read it until now."""
    text, was_closed = _read(path)
    if not was_closed:
        raise PermissionError(errno.EPERM, "Another user may have read it", path)
    return text


def _read(path: str) -> tuple[str, bool]:
    # All is asked of the one open file, so that nothing can take its place in between.
    with os.fdopen(open_private(path), "rb") as file:
        try:
            was_closed = close_to_others(file.fileno())
        except OSError as error:
            error.filename = path
            raise
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        # The first part of it would be taken for damaged JSON.
        raise OSError(errno.EFBIG, f"It is larger than {_MOST_BYTES >> 20} MiB", path)
    return content.decode("utf-8", "replace"), was_closed
