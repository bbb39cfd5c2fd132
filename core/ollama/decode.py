"""Decodes untrusted JSON into typed and limited values. Every defect is one kind of error."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

MOST_NUMBER = 2**63 - 1
# One by one they take a quarter of a second; more would be no list of models.
_MOST_ESCAPES = 500_000
_SURROGATE = re.compile(rb"\\u[dD]")
# Each escape as a whole, so that the backslash of `\\ud800` is not taken for the beginning of one.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def from_json(content: bytes | msgspec.Raw, shape: type[T]) -> T:
    """The value as `shape`. Raises `msgspec.DecodeError`, also for invalid UTF-8 and for too deep nesting.

    Half a surrogate pair (`"\\ud800"`) is no text, and is taken as the character U+0000, which does not print.
    """
    try:
        return _decoded(content, shape)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        found = bytes(content)
        is_worth_it = _SURROGATE.search(found) and found.count(b"\\") <= _MOST_ESCAPES
        whole = _ESCAPES.sub(_whole, found) if is_worth_it else found
        if whole == found:
            raise
        return _decoded(whole, shape)


def _decoded(content: bytes | msgspec.Raw, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=shape)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def _whole(escape: re.Match[bytes]) -> bytes:
    return b"\\u0000" if escape[1] else escape[0]


def whole_number(raw: msgspec.Raw) -> int:
    """The number without its fraction if it is from 0 to 2^63-1, else 0."""
    try:
        value = from_json(raw, int | float)  # type: ignore[arg-type]
    except msgspec.MsgspecError:
        return 0
    return int(value) if 0 <= value <= MOST_NUMBER else 0


def text(raw: msgspec.Raw, most: int) -> str:
    """The text, cut to `most` characters; unprintable ones become U+FFFD. Empty if the value is no text."""
    try:
        value = from_json(raw, str)
    except msgspec.MsgspecError:
        return ""
    return printable(value, most)


def printable(value: str, most: int) -> str:
    """`value`, cut to `most` characters, those that do not print replaced (U+FFFD)."""
    cut = value[:most]
    return cut if cut.isprintable() else "".join(sign if sign.isprintable() else "\ufffd" for sign in cut)
