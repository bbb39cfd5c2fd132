"""A real Podman and a real Docker that hang in the midst of what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import AlreadyRunning, NotOurs, StopFailed, Superseded
from core.owners.container import engine as calls
from core.supervision.state import State, Wish
from core.supervision.told import detail, headline, way_out
from tests.beds.engines import Engine
from tests.beds.holding import Holding
from tests.core.owners.test_container_linux import pytestmark as pytestmark
from tests.core.owners.test_container_linux import until, version
from tests.rig import Rig
from tests.rig import until as rig_until


@pytest.fixture
async def hanging(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Holding]:
    """The engine behind a socket by which it can be made to hang; a call to it has a second."""
    async with Holding(engine.socket, engine.folder / "h") as holding:
        monkeypatch.setenv("DOCKER_HOST", holding.url)
        monkeypatch.setattr(calls, "CALL_SECONDS", 1.0)
        yield holding


async def test_a_stop_in_the_midst_of_a_start_that_hangs_says_that_nothing_is_known(
    tmp_path: Path, engine: Engine, hanging: Holding
) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port)
    async with rig.supervising() as supervisor:
        hanging.hold(b"/start")
        starting = asyncio.create_task(supervisor.start())
        await hanging.has_hold.wait()
        # The engine has much more time for a start.
        async with asyncio.timeout(calls.START_SECONDS / 2):
            with pytest.raises(StopFailed, match="does not answer"):
                await supervisor.stop()
        with pytest.raises(Superseded):
            await starting
        assert (supervisor.current.state, supervisor.current.wanted) == (State.FAILED, Wish.DOWN)
        assert headline(supervisor.current) == "Whether Ollama runs is not known"
        # Another stop asks again.
        with pytest.raises(StopFailed, match="does not answer"):
            await supervisor.stop()
        hanging.release()
        await until(lambda: engine.inspect("ollama")["State"]["StartedAt"][:4] != "0001")
        assert (await supervisor.stop()).state is State.STOPPED
        assert not engine.inspect("ollama")["State"]["Running"]


async def test_what_runs_when_the_sidecar_begins_while_the_engine_hangs_is_not_called_somebody_else_s(
    tmp_path: Path, engine: Engine, hanging: Holding
) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    pid = await asyncio.to_thread(engine.run, "ollama", rig.port)
    await until(version, rig.port)
    hanging.hold(b"/")
    async with rig.supervising() as supervisor:
        status = await supervisor.status()
        assert (status.state, headline(status)) == (State.EXTERNAL, "Ollama 0.9.3 is running")
        for wish, error in ((supervisor.start, AlreadyRunning), (supervisor.stop, NotOurs)):
            with pytest.raises(error) as refused:
                await wish()
            assert "container:ollama is not known" in str(refused.value.action)
            assert "does not answer" in str(refused.value.action)
        status = await supervisor.status()
        assert "does not answer" in str(detail(status))
        assert way_out(status) is None
        hanging.release()
        status = await rig_until(supervisor, lambda status: not status.owner_unheard)
        assert (status.state, status.pid) == (State.RUNNING, pid)


async def test_a_stop_that_a_hanging_engine_kept_from_its_end_is_forgotten_once_it_answers(
    tmp_path: Path, engine: Engine, hanging: Holding
) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner="container:ollama")
    engine.create("ollama", rig.port)
    async with rig.supervising() as supervisor:
        pid = (await supervisor.start()).pid
        hanging.hold(b"/stop")
        with pytest.raises(StopFailed):
            await supervisor.stop()
        await hanging.hang_up()
        status = await rig_until(supervisor, lambda status: status.owner_problem is not None)
        assert (status.state, status.pid) == (State.RUNNING, pid)
        assert isinstance(status.failure, StopFailed)
        await hanging.drop()
        status = await rig_until(supervisor, lambda status: status.owner_problem is None)
        assert (status.state, status.pid, status.failure) == (State.RUNNING, pid, None)
