"""Jobs over the end of a sidecar and of its Ollama: what is kept and goes on, and what Ollama is told."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.jobs import job_file
from core.jobs.job import Job, JobState
from core.jobs.job_file import KeptJob, job_path
from core.jobs.listing import ENDED_SECONDS, MOST_ENDED
from core.ollama.model_name import ModelName
from core.sidecar import Sidecar
from tests import fake_ollama, tied
from tests.beds.registry import Registry
from tests.core.jobs.bed import MB, named, partials, until_job, weights
from tests.rig import Rig

WAIT = tied.seconds(15.0)
pytestmark = pytest.mark.timeout(40)  # Ollama looks once a second whether a layer has ended


async def write(rig: Rig, content: str) -> None:
    await asyncio.to_thread(job_file.write, rig.paths, content)


async def keep(rig: Rig, *jobs: KeptJob) -> None:
    """As a sidecar before this one has left them."""
    await write(rig, job_file.encoded(jobs))


def kept(name: ModelName, state: JobState, id: str = "a1", ended_at: float | None = None) -> KeptJob:
    return KeptJob(Job(id, str(name), "default", state, time.time() - 60, "", ended_at=ended_at), name)


async def test_the_next_sidecar_goes_on_with_what_the_one_before_has_begun(shop: Registry, rig: Rig) -> None:
    content = weights(1)
    (blob,) = shop.add("big:latest", [content])
    blob.hold_at = 2 * MB
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        before = await until_job(core.jobs, job.id, lambda found: found.percent >= 45)
    await shop.until(lambda: shop.open == 0)
    await shop.release(blob)
    assert json.loads(job_path(rig.paths).read_text())["jobs"][0]["state"] in ("running", "queued")
    served = shop.served
    async with rig.running() as core:
        await core.jobs.loaded()
        (waiting,) = core.jobs.all
        assert (waiting.id, waiting.state) == (job.id, JobState.QUEUED)
        assert (waiting.percent, waiting.total) == (before.percent, before.total), "it does not go back"
        await core.ollama.start()
        done = await core.jobs.wait(job.id, WAIT)
        assert (done.state, done.percent, done.total) == (JobState.DONE, 100, shop_total(shop, content))
    assert shop.served - served < 2.2 * MB, "what had come before does not come again"
    async with rig.running() as core:
        await core.jobs.loaded()
        assert [(found.id, found.state) for found in core.jobs.all] == [(job.id, JobState.DONE)]


def shop_total(shop: Registry, content: bytes) -> int:
    """What the model has with its configuration, which is as long for each."""
    return len(content) + shop.config_bytes


async def test_a_start_keeps_ollama_from_tidying_up_while_a_download_is_to_go_on(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with rig.running() as core:
        await core.ollama.start()
        assert "OLLAMA_NOPRUNE" not in environment(rig)
        job = await core.jobs.pull(named(shop, "big"))
        await until_job(core.jobs, job.id, lambda found: found.percent >= 45)
        await core.ollama.restart()
        assert environment(rig)["OLLAMA_NOPRUNE"] == "1"
        assert len(partials(rig.root)) == 1
        before = shop.served
        await shop.release(blob)
        assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE
        assert shop.served - before < 2.2 * MB, "what had come before does not come again"
        await core.ollama.restart()
        assert "OLLAMA_NOPRUNE" not in environment(rig), "it tidies up again once nothing is to go on"


async def test_what_the_user_sets_stands(shop: Registry, rig: Rig) -> None:
    rig.configure(env={"HOME": str(rig.root), "OLLAMA_MODELS": str(rig.root / "models"), "OLLAMA_NOPRUNE": "0"})
    await keep(rig, kept(named(shop, "none"), JobState.RUNNING))
    async with rig.running() as core:
        await core.ollama.start()
        assert environment(rig)["OLLAMA_NOPRUNE"] == "0"
        await core.jobs.wait("a1", WAIT)


def environment(rig: Rig) -> dict[str, str]:
    return psutil.Process(rig.record.pid).environ()


@pytest.mark.parametrize("content", ["", "{", '{"version":1,"jobs":[{"id":"a', "\x00" * 100])
async def test_a_torn_file_is_no_reason_to_fail(shop: Registry, rig: Rig, content: str) -> None:
    await write(rig, content)
    shop.add("big:latest", [weights(1, MB)])
    async with rig.running() as core:
        await core.jobs.loaded()
        assert core.jobs.all == ()
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        assert [row["id"] for row in json.loads(job_path(rig.paths).read_text())["jobs"]] == [job.id]
        assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE


async def test_a_file_of_a_later_version_is_left_as_it_is(shop: Registry, rig: Rig) -> None:
    content = json.dumps({"version": 2, "jobs": [], "news": True})
    await write(rig, content)
    shop.add("big:latest", [weights(1, MB)])
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE
    assert job_path(rig.paths).read_text() == content


async def test_what_ended_is_listed_for_a_day_and_fifty_at_most(shop: Registry, tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    now, name = time.time(), named(shop, "big")
    states = [JobState.DONE, JobState.FAILED, JobState.CANCELLED]
    recent = [kept(name, random.choice(states), f"n{each}", now - each) for each in range(MOST_ENDED + 10)]
    old = [kept(name, JobState.DONE, f"o{each}", now - ENDED_SECONDS - 60 - each) for each in range(5)]
    await keep(rig, *old, *reversed(recent))
    async with rig.running() as core:
        await core.jobs.loaded()
        assert [job.id for job in core.jobs.all] == [f"n{each}" for each in range(MOST_ENDED)]


async def test_a_model_that_is_allowed_no_more_is_not_gone_on_with(shop: Registry, rig: Rig) -> None:
    await keep(rig, kept(named(shop, "big"), JobState.RUNNING))
    rig.configure(allowedRegistries=[])
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait("a1", WAIT)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "allowedRegistries" in failed.error
    assert shop.requests == []


async def test_a_job_of_an_instance_that_is_gone_says_so(shop: Registry, rig: Rig) -> None:
    found = kept(named(shop, "big"), JobState.QUEUED)
    await keep(rig, KeptJob(replace(found.job, instance="second"), found.name))
    async with rig.running() as core:
        failed = await core.jobs.wait("a1", WAIT)
    assert failed.state is JobState.FAILED
    assert "second" in str(failed.error)


async def test_a_job_that_waits_for_ollama_may_be_cancelled(shop: Registry, rig: Rig) -> None:
    await keep(rig, kept(named(shop, "big"), JobState.RUNNING))
    async with rig.running() as core:
        await until_job(core.jobs, "a1", lambda found: "Waits for Ollama" in found.step)
        assert (await core.jobs.cancel("a1")).state is JobState.CANCELLED
    async with rig.running() as core:
        await core.jobs.loaded()
        assert [job.state for job in core.jobs.all] == [JobState.CANCELLED]


async def test_before_it_runs_a_job_may_be_cancelled(shop: Registry, rig: Rig) -> None:
    await keep(rig, kept(named(shop, "big"), JobState.RUNNING))
    core = Sidecar(rig.paths)
    await core.jobs.load()
    assert (await core.jobs.cancel("a1")).state is JobState.CANCELLED
    assert [job.state for job in core.jobs.all] == [JobState.CANCELLED]
