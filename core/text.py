"""Numbers in words, for people."""

from __future__ import annotations

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def size_text(size: int) -> str:
    """Bytes as the Aura app prints them: base 1024, at most two digits after the point, none in vain."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {_UNITS[unit]}"


def in_sentences(message: str, action: str | None) -> str:
    """A message and the way out as running text."""
    if not action:
        return message
    return f"{message} {action}" if message.endswith((".", "!", "?", "…")) else f"{message}. {action}"
