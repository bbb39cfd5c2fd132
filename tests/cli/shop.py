"""A registry of models that a test without a loop can use: it serves on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from tests import tied
from tests.beds.registry import Registry, registry
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.core.jobs.bed import weights

DEADLINE = tied.seconds(20.0)
T = TypeVar("T")


class Shop:
    """What `shop` gives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, found: Registry) -> None:
        self._loop = loop
        self._registry = found
        self._seeds = iter(range(1000, 2000))
        self.host = found.host

    def add(self, model: str, *, hold_at: int | None = None, size: int = 2_000_000) -> str:
        """Offer a model that nobody has; its full name. Its last bytes are held back from `hold_at` on."""

        def offer(found: Registry) -> str:
            (layer,) = found.add(f"{model}:latest", [weights(next(self._seeds), size)])
            layer.hold_at = hold_at
            self._held = layer
            return found.name(model)

        return self._on_loop(offer)

    def release(self) -> None:
        """Hold back the model that was offered last no longer."""
        asyncio.run_coroutine_threadsafe(self._registry.release(self._held), self._loop).result(DEADLINE)

    def _on_loop(self, work: Callable[[Registry], T]) -> T:
        async def run() -> T:
            return work(self._registry)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)


def jobs_of(sidecar: Sidecar) -> list[dict[str, Any]]:
    """All jobs that its API lists."""
    return cast("list[dict[str, Any]]", call("GET", f"{sidecar.url}/api/ollama/jobs").json["jobs"])


@contextmanager
def shop() -> Iterator[Shop]:
    """A registry until the end of the block."""
    began: Future[Shop] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with registry() as found:
            began.set_result(Shop(asyncio.get_running_loop(), found))
            while not over.is_set():
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="registry")
    thread.start()
    try:
        yield began.result(DEADLINE)
    finally:
        over.set()
        thread.join(DEADLINE)
