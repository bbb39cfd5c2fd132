"""The JSON body of a request, read strictly: a wrong field is refused with its name, the value and what would do."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import msgspec
from aiohttp import web

from api.errors import BadValue

_MOST_SHOWN = 80
T = TypeVar("T", bound=msgspec.Struct)


async def json_body(request: web.Request, kind: type[T]) -> T:
    """The body as `kind`, whose fields have defaults. Raises BadValue if it is no JSON object that fits."""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    content = await request.read()
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        given = None
    if not isinstance(given, dict):
        shown = content[:_MOST_SHOWN].decode("utf-8", "replace")
        raise BadValue("The body", shown, f"Send a JSON object with any of {', '.join(names)}.")
    for name, value in given.items():
        if name not in names:
            raise BadValue("A name in the body", name[:_MOST_SHOWN], f"Use any of {', '.join(names)}.")
        if isinstance(value, float) and value.is_integer():
            # JSON knows no difference between 86 and 86.0.
            given[name] = int(value)
    for field in msgspec.structs.fields(kind):
        if field.encode_name in given:
            _check(field.encode_name, given[field.encode_name], field.type)
    return msgspec.convert(given, kind)


def _check(name: str, value: object, kind: Any) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        shown = msgspec.json.encode(value)[:_MOST_SHOWN].decode("utf-8", "replace")
        raise BadValue(name, shown, f"Send {wanted}." if (wanted := _description(kind)) else f"{error}.") from None


def _description(kind: Any) -> str | None:
    """What the type says of itself in words, also where it may be null as well."""
    for part in (kind, *get_args(kind)):
        for about in getattr(part, "__metadata__", ()):
            if isinstance(about, msgspec.Meta) and about.description:
                return about.description
    return None
