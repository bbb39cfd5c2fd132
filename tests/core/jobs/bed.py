"""A core with the real Ollama that may pull from a registry of the test's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.events.history import Event, EventHistory
from core.jobs.job import Job
from core.jobs.jobs import Jobs
from core.ollama.model_name import ModelName
from tests.beds.disk import small_disk
from tests.beds.ollama import ollama
from tests.beds.registry import Registry
from tests.beds.require import require
from tests.rig import DEADLINE, Rig

MB = 1_000_000


def rig_for(registry: Registry, root: Path, **sidecar: object) -> Rig:
    """A rig with the real Ollama, whose settings allow that registry."""
    allowed = {"allowedRegistries": [registry.host], "allowInsecureRegistries": True}
    return Rig(root, require(ollama).executable, **(allowed | sidecar))


@contextmanager
def disk_at(folder: Path, size: int) -> Iterator[Path]:
    """Make that folder, with a disk of `size` bytes of its own until the end of the block."""
    folder.mkdir(parents=True)
    around = small_disk(folder, size)
    found = require(around.__enter__)
    try:
        yield found
    finally:
        around.__exit__(None, None, None)


def weights(seed: int, size: int = 4 * MB) -> bytes:
    """A layer that no other seed has."""
    return random.Random(seed).randbytes(size)


def named(registry: Registry, model: str) -> ModelName:
    """The model of that registry."""
    return ModelName.parse(registry.name(model))


async def until_job(jobs: Jobs, id: str, holds: Callable[[Job], bool]) -> Job:
    """The first snapshot of that job that fits; TimeoutError after some seconds."""
    async with asyncio.timeout(DEADLINE):
        with jobs.subscribe() as lists:
            async for found in lists:
                for job in found:
                    if job.id == id and holds(job):
                        return job
    raise AssertionError("a subscription never ends")


async def events_after(history: EventHistory, number: int) -> list[Event]:
    """All that has been published after that number until now."""
    found: list[Event] = []
    while number < history.newest:
        batch = await history.after(number)
        assert not batch.lost
        found += batch.events
        number = found[-1].number
    return found


def partials(root: Path) -> list[str]:
    """The files that Ollama has of downloads that are not whole, by the digests that they are of."""
    return sorted({path.name.partition("-partial")[0] for path in (root / "models/blobs").glob("*-partial*")})
