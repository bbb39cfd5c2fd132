"""JSON that somebody else wrote, into typed and bounded values: whatever is wrong with it is one kind of error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

MOST_NUMBER = 2**63 - 1


def from_json(content: bytes | msgspec.Raw, shape: type[T]) -> T:
    """The value. Raises `msgspec.DecodeError`, also for bytes that are no UTF-8 and for what is nested too deeply."""
    try:
        return msgspec.json.decode(content, type=shape)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def whole_number(raw: msgspec.Raw) -> int:
    """The number, without its fraction, if it is one from 0 to 2^63-1; else 0."""
    try:
        value = from_json(raw, int | float)  # type: ignore[arg-type]
    except msgspec.MsgspecError:
        return 0
    return int(value) if 0 <= value <= MOST_NUMBER else 0


def text(raw: msgspec.Raw, most: int) -> str:
    """The text, cut to `most` characters, those that do not print replaced (U+FFFD). Empty if it is no text."""
    try:
        value = from_json(raw, str)
    except msgspec.MsgspecError:
        return ""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in value[:most])
