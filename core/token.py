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

# A short one that somebody typed in could be guessed.
_SHAPE = re.compile(r"[!-~]{32,256}")
_LOCK = threading.Lock()


def read_or_create(run_dir: Path) -> str:
    """The token in force, made on first use. Blocks on the disk. Raises OSError if it cannot be read or written.

    The data folder, in which `run_dir` lies, is not made: FileNotFoundError if it is gone.

    One that others may have written or read is not taken: a new one takes its place.
    """
    with _LOCK:
        return _read(run_dir / "token") or _create(run_dir, parents=False)


def rotate(run_dir: Path) -> str:
    """Make a new token; from now on the old one opens nothing. Blocks on the disk. Raises OSError."""
    with _LOCK:
        return _create(run_dir, parents=True)


def _read(path: Path) -> str | None:
    try:
        found = files.read_secret(str(path)).strip()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        # Only what `private_file` itself refuses; what the system refuses may pass, or is for a person to mend.
        if error.errno != errno.EPERM:
            raise
        log.warning("%s is not used: %s; a new one takes its place", path, error.strerror)
        # Should a full disk keep the new one out, it must not look like a good one to the next reader.
        unlink_private(str(path))
        return None
    return found if _SHAPE.fullmatch(found) else None


def _create(run_dir: Path, *, parents: bool) -> str:
    make_private_dir(str(run_dir), parents=parents)
    token = secrets.token_urlsafe(32)
    files.write(str(run_dir / "token"), token + "\n")
    return token


def matches(token: str, offered: str) -> bool:
    """Whether they are equal; takes the same time wherever they differ."""
    # A header may hold any byte; what is no UTF-8 arrives as half characters.
    return hmac.compare_digest(token.encode(), offered.encode("utf-8", "surrogateescape"))
