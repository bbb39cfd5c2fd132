"""A disk too small for a model, before the download and in its midst. Linux, as root."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.jobs import disk_room
from core.jobs.job import JobState
from core.supervision.state import State
from tests.beds.disk import fill, make_room
from tests.beds.registry import Registry
from tests.beds.server import OllamaServer
from tests.core.jobs.bed import MB, disk_at, named, partials, rig_for, until_job, weights
from tests.rig import Rig, until_state

WAIT = 15.0
DISK_BYTES = 6 << 20
pytestmark = pytest.mark.timeout(40)  # Ollama looks once a second whether a layer has ended


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disk_at(tmp_path / "models", DISK_BYTES) as found:
        yield found


@pytest.fixture
def rig(disk: Path, shop: Registry, tmp_path: Path) -> Rig:
    return rig_for(shop, tmp_path)


async def test_a_model_larger_than_the_disk_is_refused_before_it_is_downloaded(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1, 20 * MB)])
    shop.rate = MB
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait((await core.jobs.pull(named(shop, "big"))).id, WAIT)
        await shop.until(lambda: shop.open == 0)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "Not enough space: 19.0" in failed.error, failed.error
    assert str(rig.root / "models") in failed.error
    assert "Make room" in failed.error
    assert shop.served < 2 * MB


async def test_what_the_other_downloads_still_bring_counts_as_taken(shop: Registry, rig: Rig) -> None:
    (first,) = shop.add("one:latest", [weights(1)])
    (second,) = shop.add("two:latest", [weights(2)])
    first.hold_at = second.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        one = await core.jobs.pull(named(shop, "one"))
        await until_job(core.jobs, one.id, lambda found: found.percent >= 20)
        failed = await core.jobs.wait((await core.jobs.pull(named(shop, "two"))).id, WAIT)
        assert failed.state is JobState.FAILED
        assert "of other downloads" in str(failed.error)
        await shop.release(first)
        assert (await core.jobs.wait(one.id, WAIT)).state is JobState.DONE


async def test_a_disk_that_fills_up_meanwhile_is_told_and_a_repeat_succeeds(
    shop: Registry, rig: Rig, disk: Path
) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        await until_job(core.jobs, job.id, lambda found: found.percent >= 20)
        await asyncio.to_thread(fill, disk)
        await shop.release(blob)
        failed = await core.jobs.wait(job.id, WAIT)
        assert failed.state is JobState.FAILED
        assert "no space left on device" in str(failed.error)
        assert "Make room" in str(failed.error)
        assert len(partials(rig.root)) == 1
        await asyncio.to_thread(make_room, disk)
        again = await core.jobs.pull(named(shop, "big"))
        assert (await core.jobs.wait(again.id, WAIT)).state is JobState.DONE


async def test_somebody_elses_ollama_tells_where_it_keeps_its_models(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1, 20 * MB)])
    shop.rate = MB
    with OllamaServer(rig.root / "theirs", port=rig.port, models=rig.root / "models") as server:
        assert await asyncio.to_thread(disk_room.models_folder, server.pid, None) == rig.root / "models"
        async with rig.running() as core:
            await until_state(core.ollama, State.EXTERNAL)
            failed = await core.jobs.wait((await core.jobs.pull(named(shop, "big"))).id, WAIT)
    assert "Not enough space" in str(failed.error)


def test_of_a_stranger_nothing_is_assumed() -> None:
    """This process is no Ollama, as the one that holds a container's port is none."""
    assert disk_room.models_folder(os.getpid(), None) is None
    assert disk_room.models_folder(None, None) is None


def test_without_a_process_the_settings_tell(tmp_path: Path) -> None:
    named = {"OLLAMA_MODELS": f' "{tmp_path}" '}
    assert disk_room.models_folder(None, named) == tmp_path
    assert disk_room.models_folder(None, {"OLLAMA_MODELS": "models"}) is None, "relative to a folder that is not known"
    unnamed = {"OLLAMA_MODELS": "", "HOME": str(tmp_path), "USERPROFILE": ""}
    assert disk_room.models_folder(None, unnamed) == tmp_path / ".ollama" / "models"


def test_the_room_for_a_folder_that_is_not_there_yet_is_that_of_the_one_above(tmp_path: Path) -> None:
    free = disk_room.free_bytes(tmp_path / "not" / "there")
    assert free == pytest.approx(disk_room.free_bytes(tmp_path), rel=0.1)
