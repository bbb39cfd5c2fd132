"""Busy or stuck, on the real Ollama: its runner is stopped by SIGSTOP where it stands, or has work for a long time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from core.metrics.canary import Canary, Verdict
from core.supervision.state import State
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.core.metrics.test_canary import WANTED, runners
from tests.rig import Rig, until

pytestmark = pytest.mark.timeout(60)  # an overdue answer is waited for


@pytest.fixture
def real(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


@asynccontextmanager
async def stopped(rig: Rig) -> AsyncIterator[None]:
    """The runner stands still, as by SIGSTOP, until the block ends."""
    (runner,) = await asyncio.to_thread(runners, rig)
    runner.suspend()
    try:
        yield
    finally:
        if runner.is_running():
            runner.resume()


@asynccontextmanager
async def at_work(rig: Rig) -> AsyncIterator[None]:
    """A long text is being made, until the block ends."""
    body = {"model": "tiny", "prompt": "x", "raw": True, "options": {"num_predict": 1900}}

    async def work() -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.post(f"{rig.url}/api/generate", json=body) as response:
                    async for _ in response.content:
                        pass

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        # Ollama gives a text up once nobody reads it.
        working.cancel()
        await asyncio.wait([working])


async def test_a_runner_that_stands_still_is_stuck_and_one_at_work_is_not(real: Rig) -> None:
    """Both leave the question without an answer, or would."""
    async with real.running() as core:
        canary = Canary(core.ollama, core.settings)
        await core.ollama.start()
        await real.generate()
        async with stopped(real):
            assert (await core.ollama.status()).error is None
            assert await canary.check(WANTED) is Verdict.STUCK
        async with at_work(real):
            while not await asyncio.to_thread(_is_working, real):
                await asyncio.sleep(0.05)
            assert await canary.check(WANTED) is Verdict.BUSY


def _is_working(rig: Rig) -> bool:
    return any(process.cpu_percent(0.2) > 30 for process in runners(rig))


async def test_stuck_is_told_and_over_once_it_goes_on(real: Rig) -> None:
    """As a reason, in an event, and in the metrics; a canary in the settings is noticed without a restart."""
    async with real.running() as core:
        await core.ollama.start()
        await real.generate()
        snapshot = await core.metrics.snapshot()
        assert snapshot.reports[0].canary is None
        real.configure(canary={"model": "tiny", "everySeconds": 1, "timeoutSeconds": 1})
        await core.ollama.status()
        async with stopped(real):
            status = await until(core.ollama, lambda status: status.stuck is not None)
            assert status.state is State.RUNNING
            assert "tiny has made no token" in (status.stuck or "")
            report = (await core.metrics.snapshot()).reports[0].canary
            assert report is not None
            assert report.stuck == status.stuck
            assert report.verdicts["stuck"] == 1
        await until(core.ollama, lambda status: status.stuck is None)
        real.configure(canary=None)
        await core.ollama.status()


async def test_a_stuck_one_is_restarted_if_that_is_wished(real: Rig) -> None:
    """Once: the new one has no model in memory that could be asked."""
    async with real.running() as core:
        await core.ollama.start()
        await real.generate()
        canary = {"model": "tiny", "everySeconds": 1, "timeoutSeconds": 1, "restartOnStuck": True}
        real.configure(canary=canary, stopTimeout=1)
        pid = (await core.ollama.status()).pid
        async with stopped(real):
            status = await until(
                core.ollama, lambda status: status.state is State.RUNNING and status.pid not in (None, pid)
            )
            assert status.stuck is None
