"""JSON that somebody else wrote, into typed values: whatever is wrong with it is one kind of error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def from_json(content: bytes | msgspec.Raw, shape: type[T]) -> T:
    """The value. Raises `msgspec.DecodeError`, also for bytes that are no UTF-8 and for what is nested too deeply."""
    try:
        return msgspec.json.decode(content, type=shape)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
