"""The list of installed models as an answer, encoded once for all callers."""

from __future__ import annotations

import asyncio

from api.http.body import encoded
from api.schemas import models_body
from core.supervision.state import ModelsNews

_MOST_ON_LOOP = 500
"""Encoding so many rows takes 5 ms; the 10,000 that a list may have would delay every other call."""


class ModelList:
    """The bytes of the newest list. Belongs to the loop; a long list is encoded in a thread."""

    def __init__(self) -> None:
        self._news: ModelsNews | None = None
        self._body = b""
        self._making = asyncio.Lock()

    async def body(self, news: ModelsNews) -> bytes:
        """A `ModelsBody` as JSON. Callers with the same news share one encoding."""
        async with self._making:
            last = self._news
            # Models are compared by identity: comparing their values takes as long as encoding them.
            if last is None or last.models is not news.models or last.error != news.error:
                self._body = await asyncio.to_thread(_made, news) if len(news.models) > _MOST_ON_LOOP else _made(news)
                self._news = news
            return self._body


def _made(news: ModelsNews) -> bytes:
    return encoded(models_body(news))
