"""What every owner has to do, whatever it runs an Ollama by: asked of each that there is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import ConfigError, SpawnFailed
from core.owners.process_owner import ProcessOwner
from core.owners.protocol import Owner, Plan
from core.settings.paths import Paths
from tests.core.owners.test_shim_start import DEADLINE, all_gone, plan_for
from tests.rig import gone

MakeOwner = Callable[[Paths], Owner]
OWNERS: list[MakeOwner] = [ProcessOwner]
pytestmark = [pytest.mark.timeout(60), pytest.mark.parametrize("make", OWNERS)]  # a start and its end each


def tree_of(plan: Plan, pid: int) -> list[psutil.Process]:
    """That Ollama and its descendants."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


async def test_an_owner_starts_tells_of_and_stops_an_ollama(tmp_path: Path, make: MakeOwner) -> None:
    owner, plan = make(Paths(tmp_path)), plan_for(tmp_path, "second")
    assert await owner.find(1.0) == []
    await owner.check(plan)
    running = await owner.start(plan)
    ended = asyncio.create_task(running.ended())
    assert (running.instance, running.url) == ("second", plan.url)
    assert psutil.Process(running.pid).is_running()
    pids = await asyncio.to_thread(running.usage)
    assert running.pid in pids
    assert all([await asyncio.to_thread(running.owns, pid) for pid in pids])
    assert not await asyncio.to_thread(running.owns, os.getppid())
    assert not ended.done()
    assert await running.lives()
    assert running.log is None or Path(running.log).is_file()
    tree = tree_of(plan, running.pid)
    await running.stop()
    async with asyncio.timeout(DEADLINE):
        exit = await ended
    assert exit.reason == "stopped"
    assert await running.gone_within(0)
    assert not await running.lives()
    assert await asyncio.to_thread(running.usage) == ()
    assert await gone(tree, within=0) == []
    assert await all_gone(plan)


async def test_an_end_that_nobody_asked_for_is_told(tmp_path: Path, make: MakeOwner) -> None:
    plan = plan_for(tmp_path)
    running = await make(Paths(tmp_path)).start(plan)
    ended = asyncio.create_task(running.ended())
    psutil.Process(running.pid).kill()
    async with asyncio.timeout(DEADLINE):
        exit = await ended
    assert exit.reason == "exited"
    assert exit.code not in (0, None)
    assert await all_gone(plan)


async def test_what_was_let_go_is_found_by_the_next_one(tmp_path: Path, make: MakeOwner) -> None:
    plan = plan_for(tmp_path)
    left = await make(Paths(tmp_path)).start(plan)
    left.let_go()
    (found,) = await make(Paths(tmp_path)).find(1.0)
    assert (found.instance, found.pid, found.url) == (left.instance, left.pid, left.url)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(found.ended())
        await found.stop()
    assert await all_gone(plan)
    assert await make(Paths(tmp_path)).find(1.0) == []


async def test_the_lines_of_an_instance_are_had_while_it_runs_and_after(tmp_path: Path, make: MakeOwner) -> None:
    owner, plan = make(Paths(tmp_path)), plan_for(tmp_path, "second")
    assert await asyncio.to_thread(owner.logs("second").tail, 10) == []
    running = await owner.start(plan)
    follower = running.logs.follow(lambda portion: [line for _, line in portion.lines])
    with follower.reading(0) as reader:
        await reader.next()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.ended())
            tasks.create_task(running.stop())
        followed: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while not any("Ollama stopped" in line for line in followed):
                followed += await reader.next()
    lines = await asyncio.to_thread(owner.logs("second").tail, 1000)
    assert lines == await asyncio.to_thread(running.logs.tail, 1000)
    assert lines[-len(followed) :] == followed
    assert "for " + plan.url in lines[0]
    assert await asyncio.to_thread(owner.logs("default").tail, 10) == []
    with pytest.raises(ConfigError):
        owner.logs("../other")
    assert await all_gone(plan)


async def test_what_cannot_be_started_is_an_error_that_leaves_nothing(tmp_path: Path, make: MakeOwner) -> None:
    plan = replace(plan_for(tmp_path), executable=tmp_path / "nowhere" / "ollama")
    with pytest.raises(SpawnFailed, match="nowhere"):
        await make(Paths(tmp_path)).start(plan)
    assert await all_gone(plan)
    assert await make(Paths(tmp_path)).find(1.0) == []


async def test_an_instance_that_runs_is_not_started_twice(tmp_path: Path, make: MakeOwner) -> None:
    owner, plan = make(Paths(tmp_path)), plan_for(tmp_path)
    running = await owner.start(plan)
    try:
        for attempt in (owner.check, owner.start):
            with pytest.raises(SpawnFailed) as failure:
                await attempt(plan_for(tmp_path))
            assert failure.value.action
        assert psutil.Process(running.pid).is_running()
    finally:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.ended())
            tasks.create_task(running.stop())
    await owner.check(plan)
