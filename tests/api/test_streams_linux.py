"""A stream of a log whose disk hangs: nobody else notices, and it goes on once the disk does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from api.http.streams import MOST_STREAMS
from tests import fake_ollama
from tests.api.serving import serving
from tests.api.streaming import reading
from tests.api.test_streams import LINE, STREAM, lines_of
from tests.beds.bound_disk import BoundDisk, bound_disk
from tests.beds.require import require
from tests.rig import Rig

DEADLINE = 8.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[BoundDisk]:
    """A disk that can be made to hang."""
    with ExitStack() as stack:
        yield require(lambda: stack.enter_context(bound_disk(tmp_path / "disk")))


@pytest.mark.timeout(30)  # a disk is mounted, on two busy cores
async def test_a_disk_that_hangs_holds_one_thread_and_no_call_and_the_stream_goes_on_after_that(
    tmp_path: Path, disk: BoundDisk
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.paths.logs.parent.mkdir(parents=True)
    rig.paths.logs.symlink_to(disk.at, target_is_directory=True)
    log = disk.at / "ollama-20240101-000000.log"
    log.write_bytes(LINE + b"1\n")
    async with serving(rig) as served, reading(served, STREAM) as events:
        assert (await lines_of(events, 1))[0].data.endswith("1")
        with disk.hanging():
            async with asyncio.timeout(DEADLINE):
                for _ in range(3):
                    async with AsyncExitStack() as stack:
                        for _ in range(MOST_STREAMS - 1):
                            await stack.enter_async_context(reading(served, STREAM))
                    # Whoever has left makes room for the next ones.
                    status = 0
                    while status != 200:
                        async with served.http.get("/api/ollama/logs/stream") as response:
                            status = response.status
                    async with served.http.get("/healthz") as response:
                        assert response.status == 200
            assert sum(thread.name == "log follower" for thread in threading.enumerate()) == 1
        await asyncio.to_thread(_append, log, LINE + b"2\n")
        assert (await lines_of(events, 1))[0].data.endswith("2")


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
