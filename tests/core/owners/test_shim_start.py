"""A spawn that is given up, or whose shim does not say what it should, leaves nothing: no process and no descriptor."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from core.errors import SpawnFailed
from core.owners.run_record import record_path, spec_path
from core.owners.shim_start import Plan, start_shim
from core.settings.paths import Paths
from tests import fake_ollama, tied
from tests.beds.wire import free_port, listens
from tests.rig import below_us, lives, reaped

DEADLINE = tied.seconds(8.0)


def plan_for(folder: Path, instance: str = "default", **env: str) -> Plan:
    """A plan for a stand-in of Ollama."""
    port = free_port()
    Paths(folder).data.mkdir(parents=True, exist_ok=True)
    return Plan(
        executable=fake_ollama.install(folder / f"bin-{port}"),
        url=f"http://127.0.0.1:{port}",
        port=port,
        env={"OLLAMA_HOST": f"127.0.0.1:{port}"} | env,
        run_dir=Paths(folder).run,
        logs=Paths(folder).logs_of(instance),
        caps={},
        grace=1.0,
        instance=instance,
    )


def open_files() -> int:
    """How many descriptors this process holds. On Windows, where the system itself opens handles in it, none counts."""
    if sys.platform == "win32":
        return 0
    return psutil.Process().num_fds()


async def all_gone(plan: Plan) -> bool:
    """Whether, in good time, no process below this one is left and nobody listens."""
    deadline = time.monotonic() + DEADLINE
    while any(not reaped(process) for process in below_us()) or listens(plan.port):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


@pytest.mark.timeout(60)  # a start and its end for each moment
async def test_a_spawn_that_is_cancelled_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    plan = plan_for(tmp_path)
    await asyncio.to_thread(open_files)
    before = open_files()
    for delay in (0.0, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15):
        spawning = asyncio.create_task(start_shim(plan))
        await asyncio.wait([spawning], timeout=delay)
        if spawning.cancel():
            with pytest.raises(asyncio.CancelledError):
                await spawning
            assert not [process for process in below_us() if lives(process)], delay
        else:
            managed = spawning.result()
            watching = asyncio.create_task(managed.ended())
            await managed.stop()
            await watching
        for thread in threading.enumerate():
            if thread.name in ("shim-start", "process-ends"):
                await asyncio.to_thread(thread.join, DEADLINE)
        assert await all_gone(plan), delay
        assert open_files() <= before, delay
        assert not spec_path(plan.run_dir).exists()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("\ud800", id="no text"),
        pytest.param("a\0b", id="a NUL"),
    ],
)
@tied.posix("a variable that no process can be given; Windows takes half a surrogate pair")
async def test_a_variable_that_no_process_can_be_given_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    plan = plan_for(tmp_path, AURA_TEST=name)
    began = time.monotonic()
    with pytest.raises(SpawnFailed) as failure:
        await start_shim(plan)
    assert time.monotonic() - began < DEADLINE
    assert "Ollama could not be started" in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert not record_path(plan.run_dir).exists()
    assert await all_gone(plan)
