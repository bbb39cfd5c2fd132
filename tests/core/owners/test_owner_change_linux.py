"""The owner is changed by a call while its Ollama runs: each call that follows meets the owner that was named."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from core.supervision.state import State
from tests.api.serving import Served, serving
from tests.beds.engines import Engine
from tests.beds.wire import free_port
from tests.core.owners import test_container_linux
from tests.rig import DEADLINE, Rig, asked_until, until_state

OWNER = "container:ollama"
# A refused call may leave a connection of the library's open.
pytestmark = test_container_linux.pytestmark


async def ask(served: Served, method: str, path: str, **body: object) -> Any:
    """The JSON of the answer, whatever its status."""
    headers = {"X-Aura-Token": (served.core.paths.run / "token").read_text().strip()}
    async with served.http.request(
        method, f"/api/ollama/{path}", json=None if method == "GET" else body, headers=headers
    ) as answer:
        return await answer.json()


async def put(served: Served, **changes: object) -> None:
    answer = await ask(served, "PUT", "settings", changes=changes)
    assert "settings" in answer, answer


async def test_an_owner_is_in_force_for_the_call_after_the_one_that_names_it(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama")
    pid = engine.run("ollama", rig.port)
    async with serving(rig) as served:
        external = await asked_until(served.supervisor, lambda status: status.offer is not None)
        assert (external.state, external.offer) == (State.EXTERNAL, OWNER)
        for _ in range(3):
            await put(served, owner=OWNER)
            status = await ask(served, "GET", "status")
            assert (status["state"], status["pid"], status["controlledBy"]) == ("running", pid, OWNER), status
            assert status["offer"] is None
            await put(served, owner=None)
            status = await ask(served, "GET", "status")
            assert (status["state"], status["controlledBy"]) == ("external", "process"), status
            # What is not ours any more is told of as before: who has it, how it is stopped, and that it can be had.
            assert status["offer"] == OWNER, status
            assert "stop" in status["action"], status
        # Nor does it matter who writes it.
        rig.configure(owner=OWNER)
        stopped = await ask(served, "POST", "stop")
        assert stopped["success"], stopped
        assert not engine.inspect("ollama")["State"]["Running"]
        assert served.supervisor.current.state is State.STOPPED


async def test_one_that_is_let_go_is_told_of_with_the_way_to_stop_it(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner=OWNER)
    engine.run("ollama", rig.port)
    engine.create("other", free_port())
    async with serving(rig) as served:
        await until_state(served.supervisor, State.RUNNING)
        for owner in ("container:other", "process"):
            # By the file, so that a call for the status is the first to see it.
            rig.configure(owner=owner)
            async with asyncio.timeout(DEADLINE):
                while (status := await ask(served, "GET", "status"))["controlledBy"] != owner:
                    pass
            assert (status["state"], status["offer"]) == ("external", OWNER)
            assert engine.name.lower() in status["action"].lower(), status


async def test_what_keeps_a_container_from_a_start_is_asked_anew_each_time(tmp_path: Path, engine: Engine) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama", owner=OWNER)
    async with serving(rig) as served:
        refused = await ask(served, "POST", "start")
        assert "has no container ollama" in refused["detail"]
        await asyncio.to_thread(engine.create, "ollama", free_port())
        refused = await ask(served, "POST", "start")
        assert f"does not publish its Ollama at {rig.url}" in refused["detail"]
        await asyncio.to_thread(engine.remove, "ollama")
        await asyncio.to_thread(engine.create, "ollama", rig.port)
        started = await ask(served, "POST", "start")
        assert started["success"], started


async def test_an_address_is_in_force_for_the_call_after_the_one_that_names_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, tmp_path / "no-ollama")
    async with serving(rig) as served:
        for _ in range(3):
            other = f"http://127.0.0.1:{free_port()}"
            # So that the last observation is younger than the call.
            await ask(served, "GET", "status")
            await put(served, ollamaUrl=other)
            assert (await served.supervisor.status()).url == other
