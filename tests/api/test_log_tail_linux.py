"""A log on a disk that hangs: whoever asks for it is told, and nobody else notices."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.routes.log_tail import LOG_SECONDS
from tests import fake_ollama
from tests.api.serving import Served, serving
from tests.beds.bound_disk import BoundDisk, bound_disk
from tests.beds.require import require
from tests.rig import Rig

CALLERS = 30
LINE = "[OUT] 2026-01-01 00:00:00 a line"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[BoundDisk]:
    """A disk that can be made to hang."""
    with ExitStack() as stack:
        yield require(lambda: stack.enter_context(bound_disk(tmp_path / "disk")))


async def log_of(served: Served) -> dict[str, object]:
    """What the sidecar shows of the log."""
    async with served.http.get("/api/ollama/logs") as response:
        assert response.status == 200
        body: dict[str, object] = await response.json()
        return body


@pytest.mark.timeout(LOG_SECONDS + 20)  # the deadline itself is what is tested
async def test_a_log_on_a_disk_that_hangs_is_told_as_such_and_holds_one_thread(tmp_path: Path, disk: BoundDisk) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    rig.paths.logs.parent.mkdir(parents=True)
    rig.paths.logs.symlink_to(disk.at, target_is_directory=True)
    (disk.at / "ollama-20260101-000000.log").write_text(f"{LINE}\n")
    whole = {"logs": [LINE], "totalLines": 1, "error": None}
    async with serving(rig) as served:
        assert await log_of(served) == whole
        with disk.hanging():
            began = time.monotonic()
            asked = [asyncio.create_task(log_of(served)) for _ in range(CALLERS)]
            while not all(one.done() for one in asked):
                async with served.http.get("/healthz") as response:
                    assert response.status == 200
                assert sum(thread.name == "log tail" for thread in threading.enumerate()) <= 1
            assert time.monotonic() - began < LOG_SECONDS + 2
            for one in asked:
                told = one.result()
                assert (told["logs"], told["totalLines"]) == ([], 0)
                assert f"{rig.paths.logs} cannot be read" in str(told["error"])
        async with asyncio.timeout(LOG_SECONDS):
            while await log_of(served) != whole:
                await asyncio.sleep(0.01)
