"""`run/jobs.json` on a disk that is full: jobs go on, and are written down once there is room. Linux, as root."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.jobs.job import JobState
from core.jobs.job_file import job_path
from tests.beds.disk import fill, make_room
from tests.beds.registry import Registry
from tests.core.jobs.bed import MB, disk_at, named, rig_for, weights
from tests.rig import Rig

WAIT = 15.0
pytestmark = pytest.mark.timeout(40)  # a file that could not be written is tried again each 5 s


@pytest.fixture
def run_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder `run` on a small disk of its own."""
    with disk_at(tmp_path / "AuraData/run", 8 << 20) as found:
        yield found


@pytest.fixture
def rig(run_disk: Path, shop: Registry, tmp_path: Path) -> Rig:
    return rig_for(shop, tmp_path)


async def test_a_full_disk_holds_no_job_up_and_the_file_follows_once_there_is_room(
    shop: Registry, rig: Rig, run_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop.add("one:latest", [weights(1, MB)])
    async with rig.running() as core:
        await core.ollama.start()
        await asyncio.to_thread(fill, run_disk)
        job = await core.jobs.pull(named(shop, "one"))
        assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE
        assert not await asyncio.to_thread(job_path(rig.paths).exists)
        assert caplog.text.count("jobs.json cannot be written") == 1, "told once, however often it is tried"
        await asyncio.to_thread(make_room, run_disk)
        async with asyncio.timeout(WAIT):
            while not await asyncio.to_thread(job_path(rig.paths).exists):
                await asyncio.sleep(0.05)
        (row,) = json.loads(await asyncio.to_thread(job_path(rig.paths).read_text))["jobs"]
        assert (row["id"], row["state"]) == (job.id, "done")
