"""What is installed and loaded: asked for beside the looks, once at a time; it decides nothing about an Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from core.errors import AlreadyRunning
from core.supervision.state import ModelsNews, State
from core.supervision.supervisor import Supervisor
from tests import fake_ollama, tied
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models
from tests.rig import DEADLINE, Rig, until, until_state

HUGE = '{"models": [{"name": "a", "size": null}, {"name": "b", "size": 1.5e9}, {"size": 3}]}'


class Counting:
    """Somebody else's Ollama that counts what it is asked; its list of models waits until `may_list` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lists_under_way = self.most_lists = 0
        self.may_list = asyncio.Event()

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        match request.path:
            case "/":
                return web.Response(text="Ollama is running")
            case "/api/version":
                return web.json_response({"version": "0.9.3"})
            case "/api/ps":
                return web.json_response({"models": []})
        self.lists_under_way += 1
        self.most_lists = max(self.most_lists, self.lists_under_way)
        try:
            await self.may_list.wait()
        finally:
            self.lists_under_way -= 1
        return web.json_response({"models": [{"name": "tiny:latest", "size": 7}]})


@pytest.fixture
def idle(tmp_path: Path) -> Rig:
    """A rig that starts nothing."""
    return Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))


@pytest.mark.parametrize(
    "behaviour",
    [
        {"FAKE_TAGS_DELAY": "30"},
        {"FAKE_TAGS_STATUS": "500"},
        {"FAKE_TAGS": HUGE},
        {"FAKE_TAGS": "[]"},
        {"FAKE_TAGS": '{"error": "manifests cannot be read"}'},
    ],
    ids=lambda behaviour: "=".join(*behaviour.items())[:30],
)
async def test_a_start_believes_an_ollama_whatever_becomes_of_its_models(
    tmp_path: Path, behaviour: dict[str, str]
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", **behaviour))
    async with rig.supervising() as supervisor:
        started = await supervisor.start()
        assert (started.state, started.version) == (State.RUNNING, "0.9.3")
        status = await supervisor.status()
        assert (status.error, status.pid) == (None, started.pid)


async def test_whoever_asks_for_models_shares_one_call_and_what_is_given_up_piles_up_nowhere(idle: Rig) -> None:
    theirs = Counting()
    async with theirs.serving(idle.port), idle.supervising() as supervisor:
        await until_state(supervisor, State.EXTERNAL)
        given_up = await asyncio.gather(*(supervisor.models() for _ in range(30)))
        again = await supervisor.models()
        assert {*given_up, again} == {ModelsNews((), "Connection timeout")}
        assert theirs.asked.count("/api/tags") == theirs.most_lists == 1
        assert (await supervisor.status()).error is None, "its models decide nothing"

        theirs.may_list.set()
        async with asyncio.timeout(DEADLINE):
            while (news := await supervisor.models()).error:
                pass
        assert [model.name for model in news.models] == ["tiny:latest"]
        assert theirs.most_lists == 1


async def test_many_who_ask_for_the_status_share_one_look(idle: Rig) -> None:
    theirs = Counting()
    theirs.may_list.set()
    async with theirs.serving(idle.port), idle.supervising() as supervisor:
        await until_state(supervisor, State.EXTERNAL)
        await supervisor.models()
        await asyncio.sleep(0.3)  # so that no look is fresh any more
        theirs.asked.clear()
        await asyncio.gather(*(supervisor.status() for _ in range(200)))
        # Whether it is an Ollama is asked on each new connection.
        assert sorted(path for path in theirs.asked if path != "/") == ["/api/ps", "/api/version"]


async def test_models_are_listed_though_nobody_asked_and_again_once_a_request_went_by(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    async with rig.supervising() as supervisor:
        await supervisor.start()
        listed = await until(supervisor, lambda status: bool(status.models))
        assert ([model.name for model in listed.models], listed.loaded) == (["tiny:latest"], ())
        await rig.generate()
        await until(supervisor, lambda status: status.loaded == ("tiny:latest",))


async def test_an_ollama_that_hangs_keeps_the_models_that_it_listed_last(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    async with rig.supervising() as supervisor:
        await supervisor.start()
        before = await supervisor.models()
        assert ([model.name for model in before.models], before.error) == (["tiny:latest"], None)
        with suspended(rig.ollamas()):
            assert await _error(supervisor) == ModelsNews(before.models, "Connection timeout")
        await until(supervisor, lambda status: status.error is None)
        assert await supervisor.models() == before
        await supervisor.stop()
        assert await supervisor.models() == ModelsNews((), "Not reachable")


async def test_somebody_else_s_that_hangs_is_told_as_running_and_refuses_a_start_as_such(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    models = copy_models(tmp_path / "theirs" / "models")
    server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port, models=models)
    with server:
        async with rig.supervising() as supervisor:
            await until_state(supervisor, State.EXTERNAL)
            before = await supervisor.models()
            with suspended([psutil.Process(server.pid)]):
                assert await _error(supervisor) == ModelsNews(before.models, "Connection timeout")
                with pytest.raises(AlreadyRunning, match="already running externally") as refusal:
                    await supervisor.start()
                assert "does not answer at present" in str(refusal.value.action)
                assert (await supervisor.status()).state is State.EXTERNAL


@tied.beyond_wine("its tables of sockets name no process")
async def test_a_sidecar_that_comes_to_an_ollama_that_hangs_knows_it_by_its_name(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable)
    server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
    with server, suspended([psutil.Process(server.pid)]):
        async with rig.supervising() as supervisor:
            found = await supervisor.status()
            assert (found.state, found.error, found.pid) == (State.EXTERNAL, "Connection timeout", server.pid)
            with pytest.raises(AlreadyRunning):
                await supervisor.start()


@tied.beyond_wine("its tables of sockets name no process")
async def test_the_executable_of_somebody_else_s_ollama_is_that_of_its_process(tmp_path: Path) -> None:
    bed = require(ollama)
    rig = Rig(tmp_path, tmp_path / "nowhere" / bed.executable.name)
    async with rig.supervising() as supervisor:
        assert (await supervisor.status()).install_path is None
        server = await asyncio.to_thread(OllamaServer, tmp_path / "theirs", port=rig.port)
        with server:
            external = await until_state(supervisor, State.EXTERNAL)
            assert external.install_path == bed.executable
            with suspended([psutil.Process(server.pid)]):
                hanging = await until(supervisor, lambda status: status.error is not None)
                assert hanging.install_path == bed.executable
        assert (await until_state(supervisor, State.NOT_INSTALLED)).install_path is None


async def _error(supervisor: Supervisor) -> ModelsNews:
    """The first news with an error."""
    async with asyncio.timeout(DEADLINE):
        while (news := await supervisor.models()).error is None:
            pass
    return news


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    """Processes that hang meanwhile."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
