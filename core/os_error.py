"""What the operating system refuses us, in words for a person."""

from __future__ import annotations

import errno
import os
import re

_MAKE_ROOM = "Make room on the disk that holds AuraData, and try again."
_CLOSE_FILES = "Wait until fewer calls are under way, or end a program that has many files open, and try again."
_FREE_MEMORY = "End a program that uses much memory, and try again."
WAYS_OUT = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EMFILE: _CLOSE_FILES,
    errno.ENFILE: _CLOSE_FILES,
    errno.ENOMEM: _FREE_MEMORY,
    errno.ENOBUFS: _FREE_MEMORY,
    errno.E2BIG: "Make `env` in ollama-sidecar.json smaller, or our own environment.",
    errno.ENOTSUP: "Keep AuraData on another disk: choose its folder with --data-dir or AURA_DATA_PATH.",
}


_NUMBER = re.compile(r"\[Errno ([0-9]+)\]")


def why_not_connected(error: OSError) -> str:
    """What is wrong, in the system's own words.

    asyncio and its kin put the address as a Python tuple in the place of those words, and join those of several
    addresses. Of several errors the first is told.
    """
    if getattr(error, "winerror", None) and error.strerror:
        # Windows' own text, from Windows itself: its numbers for sockets mean nothing to the C library.
        return error.strerror
    found = _NUMBER.search(str(error))
    number = error.errno or (int(found[1]) if found else 0)
    return os.strerror(number) if number else "nobody answers there"


def in_words(error: OSError) -> str:
    """The file, where one is known, and what is wrong, without the system's number for it."""
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what
