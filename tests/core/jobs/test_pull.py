"""Pulls by the real Ollama from a registry on loopback: how they go, and each way in which they fail."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from core.errors import NoSuchJob, PullFailed, RegistryNotAllowed, Superseded
from core.events.history import EventType
from core.jobs.job import Job, JobState
from core.jobs.jobs import MOST_PENDING
from core.jobs.listing import MOST_ENDED, PROGRESS_SECONDS
from core.ollama.model_name import ModelName
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.beds.registry import Registry, registry
from tests.beds.server import OllamaServer
from tests.core.jobs.bed import MB, events_after, named, partials, until_job, weights
from tests.rig import Rig, until_state

WAIT = tied.seconds(15.0)
pytestmark = pytest.mark.timeout(40)  # Ollama looks once a second whether a layer has ended


async def test_a_pull_goes_from_queued_to_done_and_tells_of_it_as_a_stream(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1, 8 * MB), b"a licence"])
    shop.rate = 4 * MB
    async with rig.running() as core:
        await core.ollama.start()
        began = core.events.newest
        job = await core.jobs.pull(named(shop, "big"))
        assert job.model == f"{shop.host}/library/big:latest"
        assert job.state in (JobState.QUEUED, JobState.RUNNING)
        done = await core.jobs.wait(job.id, WAIT)
        assert (done.state, done.percent, done.error) == (JobState.DONE, 100, None)
        assert done.completed == done.total == shop.served
        assert done.ended_at is not None
        assert done.ended_at >= done.started_at
        received = core.jobs.received("default")
        assert received <= shop.served
        assert (await core.metrics.snapshot()).reports[0].pulled == received
        assert core.jobs.received("another") == 0
        events = await events_after(core.events, began)
        assert [model.name for model in (await core.ollama.models()).models] == [job.model]
    told = [(event.at, event.data) for event in events if isinstance(event.data, Job)]
    # What Ollama has of a layer when it first tells of it may be from an earlier pull, and is not counted.
    assert received >= 8 * MB - next(snapshot.completed for _, snapshot in told if snapshot.completed)
    states = [snapshot.state for _, snapshot in told]
    assert list(dict.fromkeys(states)) == [JobState.QUEUED, JobState.RUNNING, JobState.DONE]
    assert not any("another download" in snapshot.step for _, snapshot in told), "there is no other"
    percents = [snapshot.percent for _, snapshot in told]
    assert percents == sorted(percents)
    assert len({percent for percent in percents if 0 < percent < 99}) >= 3, percents
    assert any(snapshot.bytes_per_second and snapshot.seconds_left is not None for _, snapshot in told)
    running = [at for at, snapshot in told if snapshot.state is JobState.RUNNING and snapshot.total]
    assert min(after - before for before, after in pairwise(running)) > PROGRESS_SECONDS - 0.02
    assert any(event.type is EventType.MODELS and event.data == {"count": 1, "loaded": []} for event in events)


async def test_pulls_of_one_model_are_one_job_however_it_is_spelt(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        names = [shop.name("big"), f"{shop.name('big')}:latest", f"{shop.name('BIG')}:Latest"]
        jobs = await asyncio.gather(*(core.jobs.pull(ModelName.parse(name)) for name in names))
        assert len({job.id for job in jobs}) == 1
        assert len(core.jobs.all) == 1
        await shop.release(blob)
        first = await core.jobs.wait(jobs[0].id, WAIT)
        assert first.state is JobState.DONE
        again = await core.jobs.pull(named(shop, "big"))
        assert again.id != first.id, "one that has ended is not joined"
        assert (await core.jobs.wait(again.id, WAIT)).state is JobState.DONE
    assert shop.served == first.total, "what is there is not downloaded again"


async def test_two_run_at_a_time_and_the_others_wait_their_turn(shop: Registry, rig: Rig) -> None:
    blobs = [blob for each in range(5) for blob in shop.add(f"m{each}:latest", [weights(each, 2 * MB)])]
    for blob in blobs:
        blob.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        jobs = [await core.jobs.pull(named(shop, f"m{each}")) for each in range(5)]
        await shop.until(lambda: shop.open == 2)
        assert [core.jobs[job.id].state for job in jobs] == [JobState.RUNNING] * 2 + [JobState.QUEUED] * 3
        assert "another download" in core.jobs[jobs[4].id].step
        await shop.release(*blobs)
        ended = [await core.jobs.wait(job.id, WAIT) for job in jobs]
        assert {job.state for job in ended} == {JobState.DONE}
        ends = [job.ended_at or 0.0 for job in ended]
        assert max(ends[:2]) < min(ends[2:]), "in their order"
    assert shop.most_open == 2


async def test_a_cancel_ends_the_traffic_and_a_later_pull_goes_on_from_there(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        # What is sent may not have arrived yet, and only what has arrived is kept.
        await until_job(core.jobs, job.id, lambda job: job.completed > 1.9 * MB)
        began = time.monotonic()
        cancelled = await core.jobs.cancel(job.id)
        assert cancelled.state is JobState.CANCELLED
        await shop.until(lambda: shop.aborted == 1)
        assert time.monotonic() - began < tied.seconds(1.0)
        assert shop.open == 0
        assert len(partials(rig.root)) == 1
        assert await core.jobs.cancel(job.id) == cancelled, "a second cancel finds nothing to do"
        await shop.release(blob)
        before = shop.served
        again = await core.jobs.pull(named(shop, "big"))
        assert (await core.jobs.wait(again.id, WAIT)).state is JobState.DONE
    assert shop.served - before < 2.2 * MB, "only the rest, and the small configuration"


async def test_a_job_that_waits_its_turn_is_cancelled_without_any_traffic(shop: Registry, rig: Rig) -> None:
    blobs = [blob for each in range(3) for blob in shop.add(f"m{each}:latest", [weights(each, 2 * MB)])]
    for blob in blobs:
        blob.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        jobs = [await core.jobs.pull(named(shop, f"m{each}")) for each in range(3)]
        await shop.until(lambda: shop.open == 2)
        assert (await core.jobs.cancel(jobs[2].id)).state is JobState.CANCELLED
        for job in jobs[:2]:
            await core.jobs.cancel(job.id)
        await shop.until(lambda: shop.open == 0)
    assert not [request for request in shop.requests if "/m2/" in request]


async def test_who_waits_for_a_job_is_told_its_end_also_when_it_is_listed_no_more(tmp_path: Path) -> None:
    """More end at once than are listed, right after they were asked for: while they are written down."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_NO_LISTEN="1"), readyTimeout=60)
    count = MOST_ENDED + 20
    async with rig.running() as core, asyncio.TaskGroup() as tasks:
        starting = asyncio.create_task(core.ollama.start())
        await until_state(core.ollama, State.STARTING)
        names = [ModelName.parse(f"m{each}") for each in range(count)]
        pulls = [tasks.create_task(core.jobs.pull(name, patience=WAIT)) for name in names]
        with core.jobs.subscribe() as lists:
            async for listed in lists:
                if len(listed) == count:
                    break
        await asyncio.gather(*(core.jobs.cancel(job.id) for job in listed))
        found = await asyncio.gather(*pulls)
        assert {job.id for job in found} == {job.id for job in listed}
        assert {job.state for job in found} == {JobState.CANCELLED}
        assert len(core.jobs.all) == MOST_ENDED
        await core.ollama.stop()
        with pytest.raises(Superseded):
            await starting


@pytest.mark.timeout(120)  # Ollama tries for 63 s before it gives up
async def test_a_registry_that_breaks_off_is_told_and_a_repeat_resumes(shop: Registry, rig: Rig) -> None:
    content = weights(1)
    (blob,) = shop.add("big:latest", [content])
    blob.break_after = 300_000
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        failed = await core.jobs.wait(job.id, 90.0)
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert "goes on where it stopped" in failed.error, failed.error
        first = shop.served
        assert 300_000 <= first < len(content)
        blob.break_after = None
        again = await core.jobs.pull(named(shop, "big"))
        done = await core.jobs.wait(again.id, WAIT)
        assert done.state is JobState.DONE
    print(f"served: {first} before, {shop.served - first} on resume, {len(content)} in all")
    assert shop.served < len(content) + 300_000


async def test_bytes_that_are_not_those_promised_are_told(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.is_corrupt = True
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait((await core.jobs.pull(named(shop, "big"))).id, WAIT)
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert "digest mismatch" in failed.error
        assert "Pull again" in failed.error
        assert failed.percent < 100
        blob.is_corrupt = False
        done = await core.jobs.wait((await core.jobs.pull(named(shop, "big"))).id, WAIT)
        assert done.state is JobState.DONE


async def test_a_model_that_the_registry_does_not_have_is_told(shop: Registry, rig: Rig) -> None:
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait((await core.jobs.pull(named(shop, "none"))).id, WAIT)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "no such model" in failed.error


async def test_a_registry_that_speaks_plain_http_only_is_told_with_the_way_out(shop: Registry, rig: Rig) -> None:
    name = ModelName.parse(f"{shop.host}/library/big")
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait((await core.jobs.pull(name)).id, WAIT)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "write http:// before its host" in failed.error, failed.error


async def test_a_registry_that_is_not_there_is_told(rig: Rig, shop: Registry) -> None:
    name = named(shop, "big")
    async with registry() as gone:
        rig.configure(allowedRegistries=[shop.host, gone.host])
        name = named(gone, "big")
    async with rig.running() as core:
        await core.ollama.start()
        failed = await core.jobs.wait((await core.jobs.pull(name)).id, WAIT)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "See whether the registry can be reached" in failed.error, failed.error


async def test_what_the_settings_do_not_allow_makes_no_job(shop: Registry, rig: Rig) -> None:
    rig.configure(allowedRegistries=[])
    async with rig.running() as core:
        await core.ollama.start()
        with pytest.raises(RegistryNotAllowed, match=shop.host):
            await core.jobs.pull(named(shop, "big"))
        rig.configure(allowedRegistries=[shop.host], allowInsecureRegistries=False)
        with pytest.raises(RegistryNotAllowed, match="plain http"):
            await core.jobs.pull(named(shop, "big"))
        assert core.jobs.all == ()
    assert shop.requests == []


async def test_without_an_ollama_a_pull_is_refused_with_the_way_out(shop: Registry, rig: Rig) -> None:
    async with rig.running() as core:
        with pytest.raises(PullFailed, match="not running") as refusal:
            await core.jobs.pull(named(shop, "big"))
        assert refusal.value.action == "Start it, and pull again."
        assert core.jobs.all == ()
        with pytest.raises(NoSuchJob):
            core.jobs["nothing"]


async def test_a_pull_while_ollama_starts_waits_for_it(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1)])
    async with rig.running() as core:
        starting = asyncio.create_task(core.ollama.start())
        await until_state(core.ollama, State.STARTING)
        job = await core.jobs.pull(named(shop, "big"))
        await starting
        assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE


async def test_a_pull_waits_for_an_ollama_that_is_stopped_and_goes_on_once_it_is_back(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        await until_job(core.jobs, job.id, lambda found: found.percent >= 45)
        await core.ollama.stop()
        waiting = await until_job(core.jobs, job.id, lambda found: "Waits for Ollama" in found.step)
        assert "24 hours" in waiting.step
        assert waiting.percent >= 45
        before = shop.served
        await shop.release(blob)
        await core.ollama.start()
        done = await core.jobs.wait(job.id, WAIT)
        assert (done.state, done.id) == (JobState.DONE, job.id)
    assert shop.served - before < 2.2 * MB, "what had come before the stop does not come again"


async def test_a_pull_outlives_a_crash_of_ollama(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    rig.configure(restartOnCrash=True)
    async with rig.running() as core:
        await core.ollama.start()
        job = await core.jobs.pull(named(shop, "big"))
        await shop.until(lambda: shop.served >= 2 * MB)
        for process in rig.ollamas():
            # On Windows the end of the first is that of the others.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await until_job(core.jobs, job.id, lambda found: found.state is JobState.QUEUED)
        await shop.release(blob)
        done = await core.jobs.wait(job.id, WAIT)
        assert (done.state, done.percent) == (JobState.DONE, 100)


async def test_somebody_elses_ollama_pulls_as_well(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    with OllamaServer(rig.root / "theirs", port=rig.port, models=rig.root / "models"):
        async with rig.running() as core:
            await until_state(core.ollama, State.EXTERNAL)
            job = await core.jobs.pull(named(shop, "big"))
            await shop.until(lambda: shop.served >= 2 * MB)
            await shop.release(blob)
            assert (await core.jobs.wait(job.id, WAIT)).state is JobState.DONE


async def test_news_of_a_job_reach_a_reader_at_once(shop: Registry, rig: Rig) -> None:
    """From the event's own time to the reader, over ten changes of state of five jobs."""
    async with rig.running() as core:
        await core.ollama.start()
        delays: list[float] = []

        async def read() -> None:
            number = core.events.newest
            while True:
                batch = await core.events.after(number)
                now = time.time()
                delays.extend(now - event.at for event in batch.events if event.type is EventType.JOB)
                number = batch.events[-1].number

        reader = asyncio.create_task(read())
        for each in range(5):
            await core.jobs.wait((await core.jobs.pull(named(shop, f"none{each}"))).id, WAIT)
        reader.cancel()
        await asyncio.wait([reader])
    print(f"event to reader: median {statistics.median(delays) * 1000:.2f} ms, worst {max(delays) * 1000:.2f} ms")
    assert len(delays) >= 10
    assert statistics.median(delays) < tied.seconds(0.05)


async def test_a_hundred_may_wait_and_no_more(shop: Registry, rig: Rig) -> None:
    blobs = [blob for each in range(2) for blob in shop.add(f"m{each}:latest", [weights(each, 2 * MB)])]
    for blob in blobs:
        blob.hold_at = MB
    async with rig.running() as core:
        await core.ollama.start()
        for each in range(MOST_PENDING):
            await core.jobs.pull(named(shop, f"m{each}"))
        with pytest.raises(PullFailed, match="100 downloads wait already"):
            await core.jobs.pull(named(shop, "one-more"))
        joined = await core.jobs.pull(named(shop, "m99"))
        assert joined.state is JobState.QUEUED, "one of those that wait is joined all the same"
        for job in core.jobs.all:
            await core.jobs.cancel(job.id)
