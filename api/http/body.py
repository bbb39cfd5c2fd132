"""The JSON of every answer. The one place that makes bytes of what goes over the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from core.text import spelt_out


def encoded(body: msgspec.Struct | dict[str, Any]) -> bytes:
    """The body as JSON in UTF-8. What no UTF-8 can hold, such as a file name of other bytes, is spelt out."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelt_out(msgspec.to_builtins(body)))


def _spelt_out(value: Any) -> Any:
    """The same with every string in it spelt out. The names of fields are ours, and need no care."""
    match value:
        case str():
            return spelt_out(value)
        case list():
            return [_spelt_out(each) for each in value]
        case dict():
            return {name: _spelt_out(each) for name, each in value.items()}
    return value
