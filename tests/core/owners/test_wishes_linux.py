"""Wishes that come while somebody else, or its engine, does something to the container: a real Podman and Docker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from core.supervision.state import State
from tests.beds.engines import Engine
from tests.core.owners.test_container_linux import DEADLINE
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
