"""The JSON of every answer. Every body is encoded here."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from core.text import spelt_out


def encoded(body: msgspec.Struct | dict[str, Any]) -> bytes:
    """The body as JSON in UTF-8. Lone surrogates, as in a file name that is not UTF-8, are escaped."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(_spelt_out(msgspec.to_builtins(body)))


def _spelt_out(value: Any) -> Any:
    """The same value with every string in it escaped. Names of fields are our own and need no escaping."""
    match value:
        case str():
            return spelt_out(value)
        case list():
            return [_spelt_out(each) for each in value]
        case dict():
            return {name: _spelt_out(each) for name, each in value.items()}
    return value


def json_answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    """An answer with that body."""
    return json_bytes_answer(encoded(body), status)


def json_bytes_answer(content: bytes, status: int = 200) -> web.Response:
    """An answer with JSON that is encoded already."""
    return web.Response(status=status, body=content, content_type="application/json")
