"""A pull as Ollama carries it out: `POST /api/pull`, which answers with a line of JSON each time something is news.

https://github.com/ollama/ollama/blob/main/docs/api.md#pull-a-model. Ollama stops as soon as the connection ends, keeps
what it has, and goes on from there when it is asked for the same model again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from core.endpoint import Endpoint
from core.ollama.answers import NULL, Answer, decoded, error_of
from core.ollama.call import BadAnswer, Caller
from core.ollama.decode import text, whole_number
from core.ollama.model_name import ModelName

QUIET_SECONDS = 900.0
"""How long Ollama may say nothing: it is silent while it verifies a layer, which takes minutes for a big one."""
_MOST_LINE_BYTES = 64 << 10
_TEXT_LENGTH = 100
_DIGEST_LENGTH = 128
# A line has some 150 bytes, and the chunk that it comes in six more.
_BODY_PER_BYTE = 4


@dataclass(frozen=True, slots=True)
class PullLine:
    """One line. `digest` is that of the layer that it is about, empty if about the whole; the rest is in bytes."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


class _Line(Answer):
    status: msgspec.Raw = NULL
    digest: msgspec.Raw = NULL
    total: msgspec.Raw = NULL
    completed: msgspec.Raw = NULL


async def pull(endpoint: Endpoint, name: ModelName) -> AsyncGenerator[PullLine, None]:
    """Have the Ollama there pull that model: its lines as they come. It is done once the iteration ends by itself.

    Raises `CallFailed`: `Complaint` or `HttpStatus` with Ollama's own words. Close the iterator (`contextlib.aclosing`)
    or cancel whoever reads it to stop the download; the connection is closed by then.
    """
    content = msgspec.json.encode({"model": name.for_pull, "insecure": name.is_plain_http, "stream": True})
    is_done = False
    async with (
        Caller(
            endpoint.base_url,
            is_local=endpoint.is_local,
            login=endpoint.login,
            words_of=error_of,
            body_per_byte=_BODY_PER_BYTE,
        ) as caller,
        aclosing(caller.lines("/api/pull", content, quiet=QUIET_SECONDS, most=_MOST_LINE_BYTES)) as lines,
    ):
        async for line in lines:
            if line.strip():
                found = _line(line)
                is_done = is_done or found.status == "success"
                yield found
    if not is_done:
        raise BadAnswer("It ended the download without a word.")


def _line(content: bytes) -> PullLine:
    line = decoded(content, _Line)
    return PullLine(
        text(line.status, _TEXT_LENGTH),
        text(line.digest, _DIGEST_LENGTH),
        whole_number(line.total),
        whole_number(line.completed),
    )
