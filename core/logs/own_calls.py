"""The lines of Ollama's log that tell of our own calls: they are left out, for the log belongs to Ollama's user.

What we ask of Ollama bears a mark in its query, which Ollama ignores and its log shows. Standard library only, because
the shim imports it; and cheap, because all of Ollama's output passes.
"""

from __future__ import annotations

import re

MARK = "by=aura-ollama"
"""The whole query of each call of ours."""

_MARK = b"?" + MARK.encode() + b'"\n'
# As gin's logger prints a request that went well; after the path it quotes as Go does:
# https://github.com/gin-gonic/gin/blob/master/logger.go, defaultLogFormatter.
_LINE = re.compile(
    rb'^\[GIN\] [0-9/]+ - [0-9:]+ \| 2[0-9]{2} \| +\S+ \| +\S+ \| (?:GET|HEAD) +"/[^"?\n]*' + re.escape(_MARK),
    re.MULTILINE,
)


def leave_out(lines: bytes) -> bytes:
    """The same clean whole lines without those of our own looks at Ollama that it answered with 2xx.

    A call that failed stays, and so does one that changes something, such as an unload. Whoever else sets the mark
    hides no more than that he looked.
    """
    return _LINE.sub(b"", lines) if _MARK in lines else lines
