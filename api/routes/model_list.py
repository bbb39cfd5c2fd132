"""The list of installed models as an answer, made once for all who ask."""

from __future__ import annotations

import asyncio

from api.http.body import encoded
from api.schemas import models_body
from core.supervision.state import ModelsNews

_MOST_ON_LOOP = 500
"""So many rows take 5 ms; the ten thousand that a list may have would hold up every other call."""


class ModelList:
    """The bytes of the newest list. Belongs to the loop; a long one is put together in a thread."""

    def __init__(self) -> None:
        self._news: ModelsNews | None = None
        self._body = b""
        self._making = asyncio.Lock()

    async def body(self, news: ModelsNews) -> bytes:
        """A `ModelsBody` as JSON. Whoever brings the same news while it is made waits for that one."""
        async with self._making:
            if not self._has(news):
                self._body = await asyncio.to_thread(_made, news) if len(news.models) > _MOST_ON_LOOP else _made(news)
                self._news = news
            return self._body

    def _has(self, news: ModelsNews) -> bool:
        # Not whether the models are equal: to compare them takes as long as to make a body.
        return self._news is not None and self._news.models is news.models and self._news.error == news.error


def _made(news: ModelsNews) -> bytes:
    return encoded(models_body(news))
