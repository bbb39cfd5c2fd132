"""Numbers and messages for people; texts that every encoding can hold, and that fit: cut, on one line, isolated.

Lengths are in UTF-16 units, as Windows counts them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_MOST = 2**63 - 1
# C0 and C1 controls, U+2028 and U+2029, and what turns the direction of text: UAX #9.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_READ_PER_UNIT = 16
"""How many signs of a text are looked at for each unit that is shown: spaces and the like fall away."""
# LEFT-TO-RIGHT MARK, FIRST STRONG ISOLATE, POP DIRECTIONAL ISOLATE: UAX #9. Pango looks into an isolate for the
# direction of the whole line, against rule P2; the mark in front tells it.
_MARK, _ISOLATE, _END = _MARKS = "\u200e\u2068\u2069"
_BALANCED = re.compile(f"[^{_MARKS}]*(?:{_MARK}{_ISOLATE}[^{_MARKS}]*{_END}[^{_MARKS}]*)*")
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


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


def shorten(text: str, most: int) -> str:
    """`text` on one line, without signs that cannot be printed, and of at most `most` UTF-16 units.

    What `isolated` has put around parts of it stays, and is closed where the cut would leave it open.
    """
    read = text[: _READ_PER_UNIT * most]
    kept = _MARKS if _BALANCED.fullmatch(read) else ""
    line = " ".join("".join(sign if sign.isprintable() or sign in kept else " " for sign in read).split())
    if units(line) <= most:
        return line
    cut = _head(line, most - 1)
    if not _is_open(cut):
        return cut.rstrip() + "…"
    cut = _head(line, most - 2)
    return cut.rstrip() + "…" + (_END if _is_open(cut) else "")


def shorten_lines(text: str, most: int) -> str:
    """As `shorten`, but each line stays one; empty ones fall away, and those for which there is no room."""
    lines: list[str] = []
    left = most
    for line in map(partial(shorten, most=most), text[: _READ_PER_UNIT * most].split("\n")):
        if line and left > 1:
            lines.append(shorten(line, left))
            left -= units(lines[-1]) + 1
    return "\n".join(lines)


def cut_name(name: str, most: int) -> str:
    """A model's name in at most `most` units, cut in the middle: its ends and its tag tell it from its kin."""
    whole = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())
    if units(whole) <= most:
        return whole
    base, colon, tag = whole.rpartition(":")
    if not colon or "/" in tag:
        # A colon before a slash is that of a registry's port.
        base, tag = whole, ""
    elif units(tag) + 1 > most // 2:
        tag = f":…{_tail(tag, most // 2 - 2)}"
    else:
        tag = f":{tag}"
    room = most - units(tag) - 1
    return f"{_head(base, room - room // 2)}…{_tail(base, room // 2)}{tag}"


def isolated(text: str) -> str:
    """`text`, kept from turning what stands beside it where some of it runs from right to left."""
    is_plain = not any(unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT for sign in text)
    return text if is_plain else f"{_MARK}{_ISOLATE}{text}{_END}"


def units(text: str) -> int:
    """The length of a printable text as Windows counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def _is_open(text: str) -> bool:
    return text.rfind(_ISOLATE) > text.rfind(_END)


def _head(text: str, most: int) -> str:
    # Half a surrogate pair at the cut is dropped.
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")


def _tail(text: str, most: int) -> str:
    encoded = text.encode("utf-16-le")
    return encoded[max(0, len(encoded) - 2 * most) :].decode("utf-16-le", "ignore")
