"""Pulls whose sidecar is killed, and fifty models that are pulled, joined, cancelled and deleted by chance."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from core.events.history import EventType
from core.jobs.job import Job, JobState
from core.ollama.model_name import ModelName
from core.sidecar import Sidecar
from tests.beds.ollama import ollama
from tests.beds.registry import Registry, registry
from tests.beds.require import require
from tests.beds.wire import JsonObject, call
from tests.chaos.conftest import Chance
from tests.chaos.place import Place, wait_until
from tests.core.jobs.bed import MB, partials, rig_for, weights
from tests.rig import Rig

T = TypeVar("T")
MODELS = 50
READERS = 5
KILLS = 6
LEFT = 6


class Shop:
    """A registry on a loop of its own, for tests that wait in other ways."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stack = registry()
        self.registry: Registry = self.run(self._stack.__aenter__())

    def run(self, work: Coroutine[object, object, T]) -> T:
        """What it returns, from that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """End it."""
        self.run(self._stack.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def shop() -> Iterator[Registry]:
    found = Shop()
    yield found.registry
    found.close()


def jobs_at(place: Place) -> list[JsonObject]:
    found = call("GET", f"{place.sidecar.url}/api/ollama/jobs").json["jobs"]
    assert isinstance(found, list)
    return found


@pytest.mark.timeout(180)  # Ollama looks once a second whether a layer has ended
def test_a_pull_whose_sidecar_is_killed_at_any_moment_is_finished_by_the_next(
    shop: Registry, tmp_path: Path, chance: Chance
) -> None:
    """SIGKILL between the wish and the end, six times; Ollama lives on, and goes on from what it has."""
    bed = require(ollama)
    settings = {"allowedRegistries": [shop.host], "allowInsecureRegistries": True, "stopOnQuit": False}
    shop.rate = 8 * MB
    again = 0
    with Place(tmp_path, bed.executable, settings) as place:
        place.start()
        for each in range(KILLS):
            content = weights(each, 4 * MB)
            shop.add(f"m{each}:latest", [content])
            before = shop.served
            answer = call(
                "POST",
                f"{place.sidecar.url}/api/ollama/models/{quote(shop.name(f'm{each}'), safe='')}/pull",
                headers={"Prefer": "respond-async"},
            )
            assert answer.status == 202, answer.body
            at = before + chance.random.randrange(len(content))
            wait_until(lambda at=at: shop.served >= at, "that much of the download")  # type: ignore[misc]
            place.kill_sidecar()
            assert place.sidecar.url
            wait_until(
                lambda job=answer.json["id"]: any(  # type: ignore[misc]
                    found["id"] == job and found["state"] == "done" for found in jobs_at(place)
                ),
                f"the end of m{each}, of which {at - before} bytes had come",
                within=25.0,
            )
            again += shop.served - before - len(content) - shop.config_bytes
        names = {str(row["name"]) for row in call("GET", f"{place.sidecar.url}/api/ollama/models").json["models"]}  # type: ignore[attr-defined]
        assert names == {f"{shop.host}/library/m{each}:latest" for each in range(KILLS)}
        assert partials(tmp_path) == []
    print(f"{again} bytes were served twice over {KILLS} kills")


class Reader:
    """One who reads the events of jobs, goes away, and comes back to where it was."""

    def __init__(self, core: Sidecar) -> None:
        self._core = core
        self.number = core.events.newest
        self.first = self.number
        self.seen: list[tuple[int, Job]] = []
        self.task: asyncio.Task[None] | None = None

    def toggle(self) -> None:
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._read())
        else:
            self.task.cancel()
            self.task = None

    async def _read(self) -> None:
        while True:
            batch = await self._core.events.after(self.number)
            assert not batch.lost
            for event in batch.events:
                assert event.number == self.number + 1, "no event is missing"
                self.number = event.number
                if event.type is EventType.JOB and isinstance(event.data, Job):
                    self.seen.append((event.number, event.data))


class Wishes(RuleBasedStateMachine):
    """Whoever wishes for what comes to mind, of a core that runs on a loop of its own."""

    make: Callable[[], tuple[asyncio.AbstractEventLoop, Sidecar, Registry, Rig]]

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.core, self.shop, self.rig = type(self).make()
        self.readers: list[Reader] = []
        self.all_events: list[Job] = []

    def do(self, work: Coroutine[object, object, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(30):
                return await work

        return self.loop.run_until_complete(bounded())

    async def settle(self) -> None:
        await asyncio.sleep(0)

    @initialize()
    def begin(self) -> None:
        self.readers = [Reader(self.core) for _ in range(READERS)]

    def name(self, number: int) -> ModelName:
        return ModelName.parse(self.shop.name(f"m{number}"))

    @rule(number=st.integers(0, MODELS - 1))
    def pull(self, number: int) -> None:
        async def work() -> None:
            running = [job for job in self.core.jobs.all if not job.is_ended and job.model == str(self.name(number))]
            found = await self.core.jobs.pull(self.name(number))
            assert len(running) <= 1
            assert not running or found.id == running[0].id or self.core.jobs[running[0].id].is_ended

        self.do(work())

    @rule(numbers=st.lists(st.integers(0, MODELS - 1), min_size=2, max_size=6))
    def pull_some_at_once(self, numbers: list[int]) -> None:
        async def work() -> None:
            found = await asyncio.gather(*(self.core.jobs.pull(self.name(each)) for each in numbers))
            assert len({job.id for job in found}) <= len(set(numbers)), "equal wishes at one time are one job"

        self.do(work())

    @rule(place=st.integers(0, MODELS))
    def cancel(self, place: int) -> None:
        async def work() -> None:
            jobs = [job for job in self.core.jobs.all if not job.is_ended]
            if jobs:
                ended = await self.core.jobs.cancel(jobs[place % len(jobs)].id)
                assert ended.is_ended

        self.do(work())

    @rule(number=st.integers(0, MODELS - 1))
    def delete(self, number: int) -> None:
        async def work() -> None:
            body: JsonObject = {"model": self.name(number).for_pull}
            answer = await asyncio.to_thread(call, "DELETE", f"{self.rig.url}/api/delete", body)
            assert answer.status in (200, 404, 400, 500), answer.body

        self.do(work())

    @rule(reader=st.integers(0, READERS - 1))
    def come_or_go(self, reader: int) -> None:
        async def work() -> None:
            self.readers[reader].toggle()
            await asyncio.sleep(0)

        self.do(work())

    @rule(milliseconds=st.integers(0, 400))
    def let_time_pass(self, milliseconds: int) -> None:
        self.do(asyncio.sleep(milliseconds / 1000))

    def teardown(self) -> None:
        self.do(self._conclude())

    async def _conclude(self) -> None:
        left = [job for job in self.core.jobs.all if not job.is_ended]
        # Ollama takes some two seconds for each, however small.
        for job in left[LEFT:]:
            await self.core.jobs.cancel(job.id)
        for job in left[:LEFT]:
            ended = await self.core.jobs.wait(job.id, 25)
            assert ended.is_ended, f"stuck: {ended}"
        for reader in self.readers:
            if reader.task is None:
                reader.toggle()
        while any(reader.number < self.core.events.newest for reader in self.readers):
            await asyncio.sleep(0.005)
        for reader in self.readers:
            reader.toggle()
        assert len({tuple(reader.seen) for reader in self.readers}) <= 1 or not self.readers
        if self.readers:
            self._check_events([job for _, job in self.readers[0].seen])
        listed = {job.model for job in self.core.jobs.all}
        for digest in await asyncio.to_thread(partials, self.rig.root):
            assert self.shop.models_of(digest) & listed, "each partial is of a job that is listed"

    def _check_events(self, seen: list[Job]) -> None:
        """Each job goes its way in order, never back in its percentage, and ends once."""
        last: dict[str, Job] = {}
        for job in seen:
            before = last.get(job.id)
            if before:
                assert not before.is_ended, "nothing comes after the end"
                assert job.percent >= before.percent
            else:
                assert job.state is JobState.QUEUED
            last[job.id] = job
        assert all(job.is_ended for job in last.values())


@contextmanager
def _running(root: Path) -> Iterator[tuple[asyncio.AbstractEventLoop, Sidecar, Registry, Rig]]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(asyncio.set_event_loop, None)
        around = registry()
        shop = loop.run_until_complete(around.__aenter__())
        stack.callback(lambda: loop.run_until_complete(around.__aexit__(None, None, None)))
        for each in range(MODELS):
            shop.add(f"m{each}:latest", [weights(each, 300_000)])
        shop.rate = 2 * MB
        rig = rig_for(shop, root)
        running = rig.running()
        core = loop.run_until_complete(running.__aenter__())
        stack.callback(lambda: loop.run_until_complete(running.__aexit__(None, None, None)))
        loop.run_until_complete(core.ollama.start())
        yield loop, core, shop, rig


@pytest.mark.timeout(0)  # as many examples as were asked for
def test_fifty_models_pulled_joined_cancelled_and_deleted_by_chance(tmp_path: Path, chance: Chance) -> None:
    require(ollama)
    with _running(tmp_path) as world:
        Wishes.make = staticmethod(lambda: world)
        how = settings(
            max_examples=max(2, chance.rounds // 20),
            stateful_step_count=30,
            deadline=None,
            database=None,
            # What it does takes its time, and never goes the same way twice.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(hypothesis_seed(chance.seed)(Wishes), settings=how)
