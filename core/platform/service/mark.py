"""The mark in an entry that we have written: how it is known for ours, and for unchanged since. Pure.

The mark is one comment with a checksum of all other lines. So a later version, which would write something else, still
knows what it may replace, and a person's changes are never overwritten.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

_MARK = re.compile(r"aura-ollama service ([0-9a-f]{64})")


class Origin(StrEnum):
    """Whose an entry is."""

    OURS = "ours"
    CHANGED = "changed"
    """Written by us, and changed by somebody since."""
    FOREIGN = "foreign"


def marked(text: str, comment: str) -> str:
    """`text`, in which the line `comment` has one `{mark}`, with the mark in its place."""
    before, line, after = text.partition(comment)
    return before + line.replace("{mark}", f"aura-ollama service {_checksum(before + after)}") + after


def origin(text: str) -> Origin:
    """Whose the entry with this text is."""
    for line in text.splitlines(keepends=True):
        if found := _MARK.search(line):
            before, _, after = text.partition(line)
            return Origin.OURS if found[1] == _checksum(before + after) else Origin.CHANGED
    return Origin.FOREIGN


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
