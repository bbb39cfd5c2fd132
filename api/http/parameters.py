"""What a request may bear beside its path: read strictly, and refused in words."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from api.errors import BadValue

DEFAULT_LINES, MOST_LINES = 200, 10_000
"""Of the log, in one answer or at the beginning of a stream."""
E = TypeVar("E", bound=StrEnum)


def whole_number(request: web.Request, name: str, *, least: int, most: int, default: int) -> int:
    """That parameter of the query. Raises BadValue unless it is absent, or there once and within its limits."""
    found = request.query.getall(name, [str(default)])
    if len(found) == 1 and re.fullmatch("[0-9]{1,9}", found[0]) and least <= int(found[0]) <= most:
        return int(found[0])
    raise BadValue(name, ", ".join(found), f"Give one whole number from {least} to {most}.")


def one_of_each(request: web.Request, name: str, offered: Collection[E], default: Collection[E]) -> frozenset[E]:
    """The names in that parameter of the query, divided by commas. Raises BadValue for any that is not offered."""
    found = request.query.getall(name, [])
    if not found:
        return frozenset(default)
    by_name = {each.value: each for each in offered}
    names = ",".join(found).split(",")
    if by_name.keys() >= set(names):
        return frozenset(by_name[each] for each in names)
    raise BadValue(name, ",".join(found), f"Give one or more of {', '.join(sorted(by_name))}, divided by commas.")
