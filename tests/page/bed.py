"""A sidecar with a real Ollama whose page is opened, and a registry to pull from that serves beside it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.beds.ollama import ollama
from tests.beds.registry import Registry, registry
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.beds.sidecar import Sidecar
from tests.beds.wire import free_port

DEADLINE = 15_000
"""Milliseconds within which the page must tell what happens."""
expect.set_options(timeout=DEADLINE)


def make_sidecar(
    root: Path, *, port: int = 0, ollama_port: int | None = None, settings: Mapping[str, object] | None = None
) -> Sidecar:
    """A sidecar on `root` whose Ollama has the model `tiny`; not started yet."""
    models = root / "models"
    if not models.exists():
        copy_models(models)
    return Sidecar(
        root,
        executable=require(ollama).executable,
        models=models,
        ollama_port=ollama_port or free_port(),
        settings=settings,
        port=port,
    )


@contextmanager
def serving_registry() -> Iterator[Registry]:
    """A registry on a loop and a thread of its own, until the block ends. Change it before it is asked."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    begun: queue.SimpleQueue[Registry] = queue.SimpleQueue()

    async def serve() -> None:
        async with registry() as serving:
            begun.put(serving)
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield begun.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def button(page: Page, name: str) -> Locator:
    """The button of that name."""
    return page.get_by_role("button", name=name, exact=True)
