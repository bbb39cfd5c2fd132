"""Query parameters, read strictly. A wrong value is refused with its name, the value and what would do."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from api.errors import BadValue

DEFAULT_LINES, MOST_LINES = 200, 10_000
"""How many log lines one answer, or the beginning of a stream, may have."""
E = TypeVar("E", bound=StrEnum)


def whole_number(request: web.Request, name: str, *, least: int, most: int, default: int) -> int:
    """That query parameter, else `default`. Raises BadValue if it occurs twice or is not from `least` to `most`."""
    found = request.query.getall(name, [str(default)])
    if len(found) == 1 and re.fullmatch("[0-9]{1,9}", found[0]) and least <= int(found[0]) <= most:
        return int(found[0])
    raise BadValue(name, ", ".join(found), f"Give one whole number from {least} to {most}.")


def switch(request: web.Request, name: str) -> bool:
    """Whether that query parameter is `true`; an absent one is not. Raises BadValue if it is neither true nor false."""
    found = request.query.getall(name, ["false"])
    if len(found) == 1 and found[0] in ("true", "false"):
        return found[0] == "true"
    raise BadValue(name, ", ".join(found), "Give true or false.")


def one_of_each(request: web.Request, name: str, offered: Collection[E], default: Collection[E]) -> frozenset[E]:
    """The names in that query parameter, divided by commas. Raises BadValue for a name that is not in `offered`."""
    found = request.query.getall(name, [])
    if not found:
        return frozenset(default)
    by_name = {each.value: each for each in offered}
    names = ",".join(found).split(",")
    if by_name.keys() >= set(names):
        return frozenset(by_name[each] for each in names)
    raise BadValue(name, ",".join(found), f"Give one or more of {', '.join(sorted(by_name))}, divided by commas.")
