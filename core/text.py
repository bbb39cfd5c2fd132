"""Numbers and messages for people, and texts that every encoding can hold."""

from __future__ import annotations

import re

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_MOST = 2**63 - 1
# C0 and C1 controls, U+2028 and U+2029, and what turns the direction of text: UAX #9.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def size_text(size: float) -> str:
    """A size as the Aura app prints it: base 1024, at most two decimals, no trailing zeros.

    Takes any number: negative ones and NaN count as 0, and those beyond 2^63-1 as that.
    """
    value, unit = float(min(size, _MOST)) if size > 0 else 0.0, 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {_UNITS[unit]}"


def in_sentences(message: str, action: str | None) -> str:
    """A message and its `action`, if any, as sentences."""
    if not action:
        return message
    return f"{message} {action}" if message.endswith((".", "!", "?", "…")) else f"{message}. {action}"


def on_one_line(text: str) -> str:
    """`text` fit for a terminal: what ends a line, steers it or turns text is shown as `\\n`, `\\x1b`, `\\u202e`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def spelt_out(text: str) -> str:
    """`text` with lone surrogates escaped, so that UTF-8 can encode it.

    Python represents a byte of a file name that is not UTF-8 by a lone surrogate (PEP 383); it becomes `\\xe9`, as in
    our logs. Any other lone surrogate becomes `\\ud83d`.
    """

    def escaped(found: re.Match[str]) -> str:
        number = ord(found[0])
        return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"

    return _LONE_SURROGATE.sub(escaped, text)
