"""What a person is told is in sentences: nothing of how Python, a library or the system's C library would say it."""

from __future__ import annotations

import re

_RAW = re.compile(
    r"\[Errno|\[WinError|Errno \d|errno|Traceback|<[A-Za-z]\w+|\b\w+(?:Error|Exception)\b|0x[0-9a-f]{4,}"
    r"|[Pp]ayload|\bNone\b|\{\"|object at|b'|org\.freedesktop\.DBus"
)


def raw(text: object) -> str | None:
    """What in that text no person would say, or no sentence it is; None if nothing is wrong with it."""
    said = str(text)
    if found := _RAW.search(said):
        return f"{found[0]!r} in {said!r}"
    return None if said.endswith((".", "`", ")")) and said[:1] not in " " else f"no sentence: {said!r}"
