"""The secret that proves a local program may act for this user: `run/token`, readable by this user alone."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from core import private_file
from core.platform import make_private_dir


def read_or_create(run_dir: Path) -> str:
    """The token, made on first use. Blocks on the disk. Raises OSError if it cannot be read or written."""
    path = run_dir / "token"
    try:
        found = path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        found = ""
    return found or _create(run_dir, path)


def _create(run_dir: Path, path: Path) -> str:
    make_private_dir(str(run_dir))
    token = secrets.token_urlsafe(32)
    private_file.write(str(path), token + "\n")
    return token


def matches(token: str, offered: str) -> bool:
    """Whether they are equal; takes the same time wherever they differ."""
    # A header may hold any byte; what is no UTF-8 arrives as half characters.
    return hmac.compare_digest(token.encode(), offered.encode("utf-8", "surrogateescape"))
