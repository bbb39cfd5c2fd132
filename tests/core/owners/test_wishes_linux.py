"""Wishes that come while somebody else, or its engine, does something to the container: a real Podman and Docker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from core.errors import SpawnFailed
from core.supervision.state import State
from core.supervision.told import headline
from tests.beds.engines import Engine
from tests.core.owners.test_container_linux import DEADLINE, until, version
from tests.core.owners.test_container_linux import pytestmark as pytestmark
from tests.rig import Rig


async def test_a_start_right_after_a_stop_by_hand_starts_it(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port)
    async with rig.supervising() as supervisor:
        before = (await supervisor.start()).pid
        for _ in range(3):
            await asyncio.to_thread(engine.call, "POST", "/containers/ollama/stop?t=3")
            async with asyncio.timeout(DEADLINE):
                status = await supervisor.start()
            assert (status.state, status.pid == before) == (State.RUNNING, False)
            before = status.pid


async def test_a_start_right_after_a_crash_that_the_engine_mends_is_answered(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port, policy="always")
    async with rig.supervising() as supervisor:
        before = (await supervisor.start()).pid
        for _ in range(3):
            assert before
            psutil.Process(before).kill()
            async with asyncio.timeout(DEADLINE):
                status = await supervisor.start()
            assert (status.state, status.pid == before) == (State.RUNNING, False)
            before = status.pid


@pytest.mark.parametrize("is_answering", [True, False])
async def test_a_wish_right_after_the_launch_meets_a_container_that_is_up(
    tmp_path: Path, engine: Engine, *, is_answering: bool
) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    late = None if is_answering else ["sleep 2; exec ollama serve"]
    pid = await asyncio.to_thread(engine.run, "ollama", rig.port, command=late)
    if is_answering:
        await until(version, rig.port)
    async with rig.supervising() as supervisor:
        with supervisor.subscribe() as statuses:
            async with asyncio.timeout(DEADLINE):
                started = await supervisor.start()
            assert (started.state, started.pid) == (State.RUNNING, pid)
            assert started.error is None
            async for status in statuses:
                assert "ended" not in headline(status)
                break
    async with rig.supervising() as supervisor:
        assert (await supervisor.stop()).state is State.STOPPED
    assert not engine.inspect("ollama")["State"]["Running"]


async def test_one_that_its_owner_has_just_started_is_starting_and_has_not_ended(
    tmp_path: Path, engine: Engine
) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port, policy="always", command=["sleep 1; exec ollama serve"])
    seen: list[tuple[State, str]] = []
    async with rig.supervising() as supervisor:
        first = (await supervisor.start()).pid
        supervisor.tell(lambda status: seen.append((status.state, headline(status))))
        assert first
        psutil.Process(first).kill()
        await until(lambda: supervisor.current.pid not in (None, first) and supervisor.current.error is None)
    assert (State.RUNNING, "Ollama is starting…") in seen
    assert not [words for state, words in seen if state is State.RUNNING and words == "Ollama has ended"]


async def test_one_that_could_not_be_started_again_is_not_stopped_by_a_restart(tmp_path: Path, engine: Engine) -> None:
    """Its address is published by the engine, and `ollamaUrl` is another one by now."""
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port)
    async with rig.supervising() as supervisor:
        pid = (await supervisor.start()).pid
        Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
        with pytest.raises(SpawnFailed, match="container ollama"):
            await supervisor.restart()
        assert (await supervisor.status()).pid == pid
        assert engine.inspect("ollama")["State"]["Running"]
