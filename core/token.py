"""The secret that proves a local program may act for this user: `run/token`, readable by this user alone."""

from __future__ import annotations

import errno
import hmac
import logging
import re
import secrets
import threading
from pathlib import Path

from core import files
from core.platform import make_private_dir, unlink_private

log = logging.getLogger(__name__)

# At least 32 characters: a shorter token that somebody typed in could be guessed.
_SHAPE = re.compile(r"[!-~]{32,256}")
_LOCK = threading.Lock()


def read_or_create(run_dir: Path) -> str:
    """The token in force, made on first use. Blocks on the disk. Raises OSError if it cannot be read or written.

    A token that another user may have read or written is replaced by a new one. The data folder, in which `run_dir`
    lies, is not made: FileNotFoundError if it is gone.
    """
    with _LOCK:
        return _read(run_dir / "token") or _create(run_dir, parents=False)


def read(run_dir: Path) -> str | None:
    """The token in force, None if there is none; makes none. For programs beside the sidecar. Raises OSError.

    One that another user may have read or written is deleted: the sidecar makes a new one at its next call.
    """
    with _LOCK:
        return _read(run_dir / "token")


def look(run_dir: Path) -> str | None:
    """The token in force, None if none has been made yet. Changes nothing. Blocks on the disk.

    Raises OSError if it cannot be read; with EPERM or EINVAL if the next reader will put a new one in its place, since
    another user may have read or written this one, or it is none.
    """
    path = run_dir / "token"
    try:
        text, is_closed = files.peek(str(path))
    except FileNotFoundError:
        return None
    if not is_closed:
        raise PermissionError(errno.EPERM, "Another user may have read it", str(path))
    if not _SHAPE.fullmatch(text.strip()):
        raise OSError(errno.EINVAL, "It holds no token", str(path))
    return text.strip()


def rotate(run_dir: Path) -> str:
    """Replace the token; the old one is refused from now on. Blocks on the disk. Raises OSError."""
    with _LOCK:
        return _create(run_dir, parents=True)


def _read(path: Path) -> str | None:
    try:
        found = files.read_secret(str(path)).strip()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        # EPERM is what `core.files` raises for a file that others could get at. Other errors come from the system.
        if error.errno != errno.EPERM:
            raise
        log.warning("%s is not used: %s; a new one takes its place", path, error.strerror)
        # Deleted first: `read_secret` has closed the file to others, so if a full disk keeps the new token out, the
        # next reader would accept this one.
        unlink_private(str(path))
        return None
    return found if _SHAPE.fullmatch(found) else None


def _create(run_dir: Path, *, parents: bool) -> str:
    make_private_dir(str(run_dir), parents=parents)
    token = secrets.token_urlsafe(32)
    files.write(str(run_dir / "token"), token + "\n")
    return token


def matches(token: str, offered: str) -> bool:
    """Whether they are equal, compared in constant time."""
    # aiohttp decodes header bytes that are not UTF-8 to lone surrogates.
    return hmac.compare_digest(token.encode(), offered.encode("utf-8", "surrogateescape"))
