"""The text of one JSON object: the places of its members, and the same text with other values. Pure.

For files that other programs write too: whatever is not changed keeps its bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Any, NamedTuple


class Member(NamedTuple):
    """One `"key": value` of an object and the places of its parts. Between `gap` and the key is only white space."""

    key: str
    value: Any
    gap: int
    key_start: int
    key_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One object with its text. Members are in the order of the text, and a key may occur twice."""

    text: str
    members: Sequence[Member]

    @classmethod
    def parse(cls, text: str) -> Document:
        """Raises `JSONDecodeError` with line and column, or `RecursionError` if the text is nested too deeply."""
        members, end = _members(text, 0)
        if skip_white(text, end) != len(text):
            raise JSONDecodeError("Nothing may follow the object", text, skip_white(text, end))
        return cls(text, members)

    @property
    def values(self) -> dict[str, Any]:
        """The value of each key; the last one counts."""
        return {member.key: member.value for member in self.members}

    def line_of(self, keys: Sequence[str]) -> int:
        """The line, from 1, of the key at that path, or of the last key of the path that exists."""
        at, members = 0, self.members
        for key in keys:
            member = next((member for member in reversed(members) if member.key == key), None)
            if member is None:
                break
            at = member.key_start
            members = _members(self.text, member.start)[0] if self.text.startswith("{", member.start) else []
        return self.text.count("\n", 0, at) + 1

    def edited(self, changes: Mapping[str, object]) -> str:
        """The text with those values, in place of the old ones or added in the style of the text.

        A key that occurs twice is changed twice, because readers differ in which one counts. Raises `ValueError` for a
        value that JSON cannot express.
        """
        text = self.text
        present = {member.key for member in self.members}
        added = {key: value for key, value in changes.items() if key not in present}
        if added:
            text = _append(text, self.members, added)
        for member in reversed(self.members):
            if member.key in changes and _dump(changes[member.key]) != _dump(member.value):
                text = text[: member.start] + _dump(changes[member.key]) + text[member.end :]
        return text

    def others(self, changes: Mapping[str, object]) -> list[tuple[str, str]]:
        """Key and value, as written, of every member that is not among `changes`."""
        return [
            (member.key, self.text[member.start : member.end]) for member in self.members if member.key not in changes
        ]


def skip_white(text: str, at: int) -> int:
    """The first place from `at` on that is no white space, or the end of the text."""
    match = _WHITE.match(text, at)
    return at if match is None else match.end()


def _members(text: str, at: int) -> tuple[list[Member], int]:
    """The members of the object that begins at `at`, in order, and where it ends. Raises `JSONDecodeError`."""
    gap = _expect(text, at, "{", "Expecting an object")
    members: list[Member] = []
    if text.startswith("}", skip_white(text, gap)):
        return members, skip_white(text, gap) + 1
    while True:
        key_start = _expect(text, gap, '"', "Expecting a name in double quotes") - 1
        key, key_end = _value(text, key_start)
        start = skip_white(text, _expect(text, key_end, ":", "Expecting ':'"))
        value, end = _value(text, start)
        members.append(Member(str(key), value, gap, key_start, key_end, start, end))
        if text.startswith("}", skip_white(text, end)):
            return members, skip_white(text, end) + 1
        gap = _expect(text, end, ",", "Expecting ',' or '}'")


def _expect(text: str, at: int, sign: str, message: str) -> int:
    at = skip_white(text, at)
    if not text.startswith(sign, at):
        raise JSONDecodeError(message, text, at)
    return at + 1


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except JSONDecodeError:
        raise
    except ValueError as error:
        raise JSONDecodeError(str(error), text, at) from None


def _whole(digits: str) -> float:
    """A whole number. One beyond Python's limit of 4,300 digits becomes a float, which no setting accepts."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_WHITE = re.compile(r"[ \t\n\r]*")
_DECODER = JSONDecoder(parse_int=_whole, parse_constant=_refuse)


def _append(text: str, members: Sequence[Member], added: Mapping[str, object]) -> str:
    if members:
        last = members[-1]
        gap, colon = text[last.gap : last.key_start], text[last.key_end : last.start]
        body = "".join(f",{gap}{_dump(key)}{colon}{_dump(value)}" for key, value in added.items())
        return text[: last.end] + body + text[last.end :]
    newline = "\r\n" if "\r\n" in text else "\n"
    at = text.index("{") + 1
    body = ",".join(f"{newline}  {_dump(key)}: {_dump(value)}" for key, value in added.items())
    return text[:at] + body + ("" if "\n" in text[at : text.index("}")] else newline) + text[at:]


def _dump(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(str(error)) from None
