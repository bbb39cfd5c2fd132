"""Leaves our own calls out of Ollama's log: they would hide what its user wants to read there.

Each call of ours has `?by=aura-ollama` as its query, which Ollama ignores and its request log shows. Standard library
only, because the shim imports it; cheap, because all of Ollama's output passes through it.
"""

from __future__ import annotations

import re

MARK = "by=aura-ollama"
"""The whole query of each call of ours."""

_MARK = b"?" + MARK.encode() + b'"\n'
# A successful request as gin's logger prints it, with the path quoted as Go quotes:
# https://github.com/gin-gonic/gin/blob/master/logger.go, defaultLogFormatter.
_LINE = re.compile(
    rb'^\[GIN\] [0-9/]+ - [0-9:]+ \| 2[0-9]{2} \| +\S+ \| +\S+ \| (?:GET|HEAD) +"/[^"?\n]*' + re.escape(_MARK),
    re.MULTILINE,
)


def leave_out(lines: bytes) -> bytes:
    """The same clean whole lines without our own GET and HEAD requests that Ollama answered with 2xx.

    Failed calls stay, and so do those that change something, such as an unload. Another program that uses the mark can
    hide only its own successful reads.
    """
    return _LINE.sub(b"", lines) if _MARK in lines else lines
