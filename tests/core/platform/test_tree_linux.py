"""What a shim and its guard make of a crowded process table, and of one that cannot be read for a while."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.shim.record import SHIM_KILLED
from tests import fake_ollama
from tests.rig import Rig, gone

assert sys.platform == "linux"

CROWD = 300
STOP_SECONDS = 2.0
DEADLINE = 8.0


@pytest.fixture
def crowd() -> Iterator[None]:
    """Many processes that are nobody's business here, with an environment each."""
    started = [subprocess.Popen(["/bin/sleep", "600"]) for _ in range(CROWD)]
    yield
    for process in started:
        process.kill()
    for process in started:
        process.wait()


def shim_of(rig: Rig) -> tuple[psutil.Process, psutil.Process]:
    """The shim and its guard."""
    shim = psutil.Process(rig.record.shim_pid)
    (guard,) = [child for child in shim.children() if "core.shim" in child.cmdline()]
    return shim, guard


def wait_until(holds: Callable[[], object]) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.timeout(30)  # a crowd that comes and goes
@pytest.mark.parametrize("leftover", [False, True], ids=["the program is deaf", "what it left is deaf"])
@pytest.mark.usefixtures("crowd")
async def test_a_stop_that_waits_takes_little_of_the_processor(tmp_path: Path, *, leftover: bool) -> None:
    how = {"FAKE_GRANDCHILD": str(tmp_path / "pid")} if leftover else {"FAKE_IGNORE_TERM": "1"}
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", **how), stopTimeout=STOP_SECONDS)
    async with rig.supervising() as supervisor:
        await supervisor.start()
        family = rig.family()
        shim, _ = shim_of(rig)
        before, used = shim.cpu_times(), 0.0
        began = time.monotonic()
        stopping = asyncio.create_task(supervisor.stop())
        while not stopping.done():
            with contextlib.suppress(psutil.Error):
                now = shim.cpu_times()
                used = now.user + now.system - before.user - before.system
            await asyncio.sleep(0.01)
        await stopping
        assert time.monotonic() - began >= STOP_SECONDS * 0.9
        print(f"processor: {used / STOP_SECONDS:.1%} of a core")
        assert used < 0.25 * STOP_SECONDS
        assert await gone(family, within=0.5) == []


async def test_a_guard_that_cannot_read_who_lives_tries_again_until_it_can(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with rig.supervising(stop_ollama=False) as supervisor:
        await supervisor.start()
    shim, guard = shim_of(rig)
    server = psutil.Process(rig.record.pid)
    limits = resource.prlimit(guard.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, (0, limits[1]))
    shim.kill()
    # Longer than it gives the tree, so that it has looked more than once.
    assert await gone([guard, server], within=1.5) == [guard, server]
    resource.prlimit(guard.pid, resource.RLIMIT_NOFILE, limits)
    assert await gone([guard, server], within=DEADLINE) == []
    assert rig.record.reason == SHIM_KILLED
