"""What a next sidecar makes of a run record that it cannot read at first."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from core.errors import AlreadyRunning, NotOurs
from core.owners.run_record import record_path
from core.supervision.state import State
from tests import fake_ollama, tied
from tests.rig import Rig, gone, until_state

pytestmark = pytest.mark.timeout(30)  # a record that cannot be read is tried for 5 s

# Adopts in a process that has no descriptor left and, told so, gets them back after a while.
ADOPT = """
import json, resource, sys, threading
from pathlib import Path
from core.owners.adopt import adopt
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
if sys.argv[2] == "for a moment":
    threading.Timer(0.3, resource.setrlimit, [resource.RLIMIT_NOFILE, limits]).start()
found = [managed.record.pid for managed in adopt(Path(sys.argv[1]), 1.0).found]
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
print(json.dumps(found))
"""


async def left_by_a_sidecar(folder: Path) -> tuple[Rig, int]:
    """An Ollama that is ours and runs on, and its pid."""
    rig = Rig(folder, fake_ollama.install(folder / "bin"))
    async with rig.supervising(stop_ollama=False) as supervisor:
        pid = (await supervisor.start()).pid
        assert pid
    return rig, pid


async def adopt_and_stop(rig: Rig, pid: int) -> None:
    """See the next sidecar adopt it after all."""
    family = rig.family()
    async with rig.supervising() as supervisor:
        status = await supervisor.status()
        assert (status.state, status.pid, status.adopted) == (State.RUNNING, pid, True)
        await supervisor.stop()
    assert await gone(family, within=0.5) == []


@tied.posix("a limit of descriptors")
@pytest.mark.parametrize("how_long", ["for a moment", "all the time"])
async def test_too_many_open_files_disown_no_ollama(tmp_path: Path, how_long: str) -> None:
    rig, pid = await left_by_a_sidecar(tmp_path)
    command = [sys.executable, "-c", ADOPT, str(rig.paths.run), how_long]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert json.loads(said) == ([pid] if how_long == "for a moment" else [])
    assert list(rig.paths.run.glob("*.stale")) == []
    await adopt_and_stop(rig, pid)


@pytest.mark.parametrize("who", ["a start", "a stop", "the rounds"])
async def test_a_record_that_comes_back_makes_an_external_ollama_ours_in_the_same_life(
    tmp_path: Path, who: str
) -> None:
    """A folder in its place says nothing of what it holds, so it stays there too."""
    rig, pid = await left_by_a_sidecar(tmp_path)
    family = rig.family()
    record = record_path(rig.paths.run)
    aside = record.with_name("aside")
    record.rename(aside)
    record.mkdir()
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).state is State.EXTERNAL
        with pytest.raises(NotOurs):
            await supervisor.stop()
        with pytest.raises(AlreadyRunning):
            await supervisor.start()
        assert record.is_dir()
        assert list(rig.paths.run.glob("*.stale")) == []
        record.rmdir()
        aside.rename(record)
        match who:
            case "a start":
                status = await supervisor.start()
            case "a stop":
                status = await supervisor.stop()
            case _:
                status = await until_state(supervisor, State.RUNNING)
        if who == "a stop":
            assert status.state is State.STOPPED
        else:
            assert (status.state, status.pid, status.adopted, status.owner) == (State.RUNNING, pid, True, None)
            await supervisor.stop()
    assert await gone(family, within=0.5) == []
