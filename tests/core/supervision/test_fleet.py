"""Several instances of one data folder: each starts, fails, stops and is adopted without touching its neighbours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigError, CoreError, SpawnFailed
from core.events.history import Event, EventType
from core.supervision.fleet import Fleet
from core.supervision.instance import Instance
from core.supervision.state import State, Status
from tests import fake_ollama
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import ollama_environment
from tests.beds.wire import free_port, listens
from tests.rig import Rig, gone, lives

APART_SECONDS = 0.07
ROUNDS = 3


@pytest.fixture
def fake(tmp_path: Path) -> Rig:
    """A rig on a stand-in that behaves."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


def three(rig: Rig) -> list[Instance]:
    """The default instance and two with addresses of their own."""
    return [Instance(), *(Instance(name, f"http://127.0.0.1:{free_port()}") for name in ("second", "third"))]


async def start_apart(fleet: Fleet) -> list[Status]:
    """Start all, each a moment after the one before it."""

    async def start(number: int, name: str) -> Status:
        await asyncio.sleep(number * APART_SECONDS)
        return await fleet[name].start()

    return await asyncio.gather(*(start(number, name) for number, name in enumerate(fleet)))


def starts(rig: Rig, instance: str) -> int:
    """How many processes were ever spawned for that instance: each has a log of its own."""
    return len({path.name.split(".")[0] for path in rig.paths.logs_of(instance).glob("ollama-*.log")})


async def stop_all(fleet: Fleet) -> None:
    await asyncio.gather(*(fleet[name].stop() for name in fleet))


@pytest.mark.timeout(60)  # nine starts and stops
async def test_instances_that_start_70_ms_apart_all_come_up(tmp_path: Path) -> None:
    # Each tidies the one models folder at its start, and on Windows none of them may find another one at it.
    unpruned = ollama_environment(tmp_path, tmp_path / "models") | {"OLLAMA_NOPRUNE": "1"}
    rig = Rig(tmp_path, require(ollama).executable, env=unpruned)
    async with rig.supervising_all(*three(rig)) as fleet:
        for _ in range(ROUNDS):
            found = await start_apart(fleet)
            assert [status.state for status in found] == [State.RUNNING] * 3
            assert len({status.pid for status in found}) == len({status.url for status in found}) == 3
            assert all(listens(int(status.url.rpartition(":")[2])) for status in found)
            assert [rig.record_of(name).pid for name in fleet] == [status.pid for status in found]
            await stop_all(fleet)
        assert [starts(rig, name) for name in fleet] == [ROUNDS] * 3


async def test_a_stop_of_one_leaves_the_others_alone(fake: Rig) -> None:
    async with fake.supervising_all(*three(fake)) as fleet:
        pids = [status.pid for status in await start_apart(fleet)]
        await fleet["second"].stop()
        assert [(await fleet[name].status()).state for name in fleet] == [State.RUNNING, State.STOPPED, State.RUNNING]
        assert [(await fleet[name].status()).pid for name in fleet] == [pids[0], None, pids[2]]


async def test_a_failed_start_is_remembered_for_its_instance_alone(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3"))
    async with rig.supervising_all(*three(rig)) as fleet:
        for name in ("second", "second", "third"):
            with pytest.raises(SpawnFailed, match="exit code 3"):
                await fleet[name].start()
        assert [starts(rig, name) for name in fleet] == [0, 1, 1]
        assert [(await fleet[name].status()).state for name in fleet] == [State.STOPPED, State.FAILED, State.FAILED]


async def test_all_that_the_settings_name_are_adopted_and_what_they_do_not_name_is_left_alone(
    fake: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    instances = three(fake)
    async with fake.supervising_all(*instances, stop_ollama=False) as fleet:
        pids = [status.pid for status in await start_apart(fleet)]
    shims = [psutil.Process(fake.record_of(one.id).shim_pid) for one in instances]
    try:
        async with fake.supervising_all(*instances[:2]) as fleet:
            found = [await fleet[name].status() for name in fleet]
            assert [(status.state, status.adopted, status.pid) for status in found] == [
                (State.RUNNING, True, pids[0]),
                (State.RUNNING, True, pids[1]),
            ]
        assert await gone(shims[:2], within=2.0) == []
        assert lives(shims[2]), "nobody asked for its end"
        assert f"Ollama (pid {pids[2]}) at {instances[2].url} runs for the instance third" in caplog.text
    finally:
        async with fake.supervising_all(*instances) as fleet:
            assert (await fleet["third"].status()).pid == pids[2]


async def test_one_that_supervises_alone_leaves_other_instances_running(fake: Rig) -> None:
    instances = three(fake)
    async with fake.supervising_all(*instances, stop_ollama=False) as fleet:
        pids = [status.pid for status in await start_apart(fleet)]
    async with fake.supervising() as supervisor:
        assert (await supervisor.status()).pid == pids[0]
    async with fake.supervising_all(*instances) as fleet:
        assert [(await fleet[name].status()).pid for name in fleet] == [None, pids[1], pids[2]]


async def test_events_bear_the_instance_and_the_settings_are_told_once(fake: Rig) -> None:
    async with fake.supervising_all(*three(fake)) as fleet:
        await fleet["second"].start()
        fake.configure(readyTimeout=7)
        for name in fleet:
            await fleet[name].status()
        told: list[Event] = []
        while len(told) < fleet.events.newest:
            told += (await fleet.events.after(len(told))).events
        assert {event.instance for event in told if event.type is EventType.LOG} == {"second"}
        assert len([event for event in told if event.type is EventType.SETTINGS]) == 1


@pytest.mark.parametrize("bad", ["", "Second", "a" * 33, "../x", "a.b", "sidecar"])
def test_an_instance_with_a_bad_id_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="cannot have the id"):
        Instance(bad)


def test_two_instances_of_one_id_are_refused(fake: Rig) -> None:
    with pytest.raises(CoreError, match="two instances 'default'"):
        Fleet(fake.paths, instances=[Instance(), Instance(url=fake.url)])
