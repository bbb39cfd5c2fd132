"""A real Podman and a real Docker that hang in the midst of what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.errors import StopFailed, Superseded
from core.owners.container import engine as calls
from core.supervision.state import State, Wish
from tests.beds.engines import Engine
from tests.beds.holding import Holding
from tests.core.owners.test_container_linux import pytestmark as pytestmark
from tests.core.owners.test_container_linux import until
from tests.rig import Rig


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
        # Another stop asks again.
        with pytest.raises(StopFailed, match="does not answer"):
            await supervisor.stop()
        hanging.release()
        await until(lambda: engine.inspect("ollama")["State"]["StartedAt"][:4] != "0001")
        assert (await supervisor.stop()).state is State.STOPPED
        assert not engine.inspect("ollama")["State"]["Running"]
