"""The requests that Ollama's log tells of: one line each, printed by gin's logger once the request is over. Pure.

A line is `[GIN] 2026/01/02 - 15:04:05 | 200 |  262.5ms |  127.0.0.1 | POST  "/api/generate"`; what Ollama prints beside
such lines passes. Sources: `defaultLogFormatter` in https://github.com/gin-gonic/gin/blob/master/logger.go for the
line, https://pkg.go.dev/time#Duration.String for the duration, https://pkg.go.dev/strconv#Quote for the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.logs.own_calls import MARK

# The prefix is that of our logs (`core.logs.segments.line_prefix`); another owner's lines may lack it.
_LINE = re.compile(
    rb"^(?:\[(?:OUT|ERR)\] ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) )?"
    rb"\[GIN\] [0-9/]{10} - [0-9:]{8} \| +([0-9]{3}) \| +([^ |]{2,40}) \| +([^ |]*) \| "
    rb'([A-Z]{1,20}) +"((?:[^"\\\n]|\\.)*)"\r?$',
    re.MULTILINE,
)
_DURATION = re.compile(rb"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|\xc2\xb5s|\xce\xbcs|us|ns)")
# µ is the micro sign in Go; its twin, the Greek letter, is taken too, as Go's own parser does.
_SECONDS = {
    b"h": 3600.0,
    b"m": 60.0,
    b"s": 1.0,
    b"ms": 1e-3,
    b"\xc2\xb5s": 1e-6,
    b"\xce\xbcs": 1e-6,
    b"us": 1e-6,
    b"ns": 1e-9,
}
_OURS = MARK.encode()


class Request(NamedTuple):
    """One request that is over. `path` is as Go quotes it, without its query; `seconds` from its headers to its end.

    A named tuple, since one is made for each of a thousand lines a second.
    """

    status: int
    seconds: float
    client: str
    method: str
    path: str
    stamp: str = ""
    """When our log got the line, as `yyyy-MM-dd HH:mm:ss` in UTC; empty for a line without it."""


def requests_in(lines: bytes) -> Iterator[Request]:
    """The requests that whole lines tell of, in order, less our own, which bear our mark in their query."""
    for match in _LINE.finditer(lines):
        stamp, status, duration, client, method, target = match.groups()
        path, _, query = target.partition(b"?")
        seconds = duration_of(duration)
        if seconds is None or query == _OURS:
            continue
        yield Request(
            int(status),
            seconds,
            client.decode(),
            method.decode(),
            path.decode("utf-8", "replace"),
            stamp.decode() if stamp else "",
        )


def duration_of(text: bytes) -> float | None:
    """The seconds of a duration as Go prints it, such as `31.25µs`, `1.5s` or `1h2m3s`; None for any other text."""
    if whole := _DURATION.fullmatch(text):
        return float(whole[1]) * _SECONDS[whole[2]]
    seconds, position = 0.0, 0
    while match := _DURATION.match(text, position):
        seconds += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    return seconds if position and position == len(text) else None
