"""Load, unload, delete and look at models, on the real Ollama and beside one that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from core.errors import (
    BadModelName,
    DeleteFailed,
    ModelError,
    ModelInUse,
    ModelNotFound,
    NotRunning,
    ShuttingDown,
    TooManyLoads,
)
from core.models.models import MOST_LOADS
from core.ollama.model_name import ModelName
from core.sidecar import Sidecar
from core.supervision.state import State
from tests import tied
from tests.beds import gguf
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import create_model
from tests.rig import Rig, until, until_state

TINY = ModelName.parse("tiny")
GONE = ModelName.parse("user/gone:q4")


@pytest.fixture
def real(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


class Slow:
    """Somebody else's Ollama with the model `tiny`; a load waits until `may_load` is set, and nothing unloads it."""

    def __init__(self) -> None:
        self.loads = 0
        self.may_load = asyncio.Event()
        self.is_loading = asyncio.Event()
        self.is_loaded = False

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield
        finally:
            self.may_load.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        rows = [{"name": "tiny:latest"}]
        match request.path:
            case "/":
                return web.Response(text="Ollama is running")
            case "/api/version":
                return web.json_response({"version": "0.9.3"})
            case "/api/tags":
                return web.json_response({"models": rows})
            case "/api/ps":
                return web.json_response({"models": rows if self.is_loaded else []})
            case "/api/generate":
                if "keep_alive" not in await request.json():
                    self.loads += 1
                    self.is_loading.set()
                    await self.may_load.wait()
                    self.is_loaded = True
                return web.json_response({"done": True})
        return web.json_response({"error": "the disk is full"}, status=500)


@asynccontextmanager
async def beside(slow: Slow, tmp_path: Path) -> AsyncIterator[Sidecar]:
    """A core that has found that Ollama."""
    rig = Rig(tmp_path, tmp_path / "nothing" / "ollama")
    async with slow.serving(rig.port), rig.running() as core:
        await until_state(core.ollama, State.EXTERNAL)
        yield core


# The real program loads a runner, which Wine does slowly.
@pytest.mark.timeout(tied.seconds(20))
async def test_a_model_is_loaded_and_unloaded_and_status_tells_both(real: Rig) -> None:
    async with real.running() as core:
        await core.ollama.start()
        loaded = await core.load_model("default", "tiny")
        assert (loaded.model, loaded.message, loaded.is_done) == (
            "tiny",
            "Model 'tiny' loaded successfully",
            True,
        )
        assert (await core.ollama.status()).loaded == ("tiny:latest",)
        (row,) = (await core.models.loaded("default")).models
        assert row.name == "tiny:latest"
        assert row.size > 0
        assert row.expires_at
        unloaded = await core.unload_model("default", "TINY:latest")
        assert unloaded.message == "Model 'TINY:latest' unloaded successfully"
        assert (await core.ollama.status()).loaded == ()
        again = await core.unload_model("default", "tiny")
        assert again.message == "Model 'tiny' is not loaded"


@pytest.mark.timeout(tied.seconds(20))
async def test_a_model_that_is_loaded_is_deleted_only_if_that_is_forced(real: Rig) -> None:
    async with real.running() as core:
        await core.ollama.start()
        await core.load_model("default", "tiny")
        with pytest.raises(ModelInUse, match="is loaded") as caught:
            await core.models.delete("default", TINY, is_forced=False)
        assert "force=true" in str(caught.value.action)
        assert [model.name for model in (await core.ollama.models()).models] == ["tiny:latest"]
        deleted = await core.models.delete("default", TINY, is_forced=True)
        assert deleted.message == "Model 'tiny' deleted successfully"
        status = await until(core.ollama, lambda status: not status.models)
        assert status.loaded == ()


@pytest.mark.timeout(tied.seconds(20))
async def test_a_model_that_is_not_there_is_told_as_that(real: Rig) -> None:
    async with real.running() as core:
        await core.ollama.start()
        see_list = "See in the list of models what it is called."
        for call, action in (
            (lambda: core.models.info("default", GONE), "Pull it first."),
            (lambda: core.models.load("default", GONE), "Pull it first."),
            (lambda: core.models.unload("default", GONE), see_list),
        ):
            with pytest.raises(ModelNotFound, match="Model 'user/gone:q4' is not installed") as missing:
                await call()
            assert missing.value.action == action
        with pytest.raises(DeleteFailed, match="Failed to delete model: Model 'user/gone:q4' is not") as failed:
            await core.models.delete("default", GONE, is_forced=False)
        assert failed.value.action == see_list
        with pytest.raises(BadModelName):
            await core.load_model("default", "../x")
        with pytest.raises(KeyError):
            await core.load_model("nobody", "tiny")


@pytest.mark.timeout(tied.seconds(20))
async def test_what_ollama_knows_of_a_model_is_told(real: Rig) -> None:
    async with real.running() as core:
        await core.ollama.start()
        shown = await core.models.info("default", TINY)
        assert shown.context == gguf.CONTEXT
        assert "FROM " in shown.modelfile
        (row,) = (await core.ollama.models()).models
        assert (row.family, row.quantization, len(row.digest)) == ("llama", "unknown", 64)
        assert row.parameters.endswith("K")


@pytest.mark.timeout(tied.seconds(20))
async def test_a_model_that_only_embeds_is_loaded_too(real: Rig, tmp_path: Path) -> None:
    """Ollama refuses to load it by a request to generate."""
    gguf.write_tiny_model(tmp_path / "embedder.gguf", is_embedder=True)
    weights = await asyncio.to_thread((tmp_path / "embedder.gguf").read_bytes)
    async with real.running() as core:
        await core.ollama.start()
        await asyncio.to_thread(create_model, real.url, "embedder", weights)
        assert (await core.load_model("default", "embedder")).is_done
        assert (await core.ollama.status()).loaded == ("embedder:latest",)
        assert (await core.unload_model("default", "embedder")).is_done


async def test_while_ollama_is_down_each_call_says_so(real: Rig) -> None:
    async with real.running() as core:
        for call in (
            lambda: core.models.info("default", TINY),
            lambda: core.models.load("default", TINY),
            lambda: core.models.unload("default", TINY),
        ):
            with pytest.raises(NotRunning, match="Ollama is not running") as caught:
                await call()
            assert caught.value.action
        with pytest.raises(DeleteFailed, match="Failed to delete model: Ollama is not running"):
            await core.models.delete("default", TINY, is_forced=True)
        found = await core.models.loaded("default")
        assert (found.models, found.error) == ((), "Ollama is not running.")
        assert await core.models.is_available("default", TINY) == (False, "Not reachable")


async def test_a_load_that_takes_long_goes_on_and_whoever_repeats_it_joins(tmp_path: Path) -> None:
    slow = Slow()
    async with beside(slow, tmp_path) as core:
        first = await core.models.load("default", TINY, wait=0.05)
        assert not first.is_done
        assert first.message == "Model 'tiny' is still being loaded; it goes on."
        others = [asyncio.create_task(core.load_model("default", name)) for name in ("tiny", "TINY", "tiny:latest")]
        await slow.is_loading.wait()
        slow.may_load.set()
        assert [other.is_done for other in await asyncio.gather(*others)] == [True] * 3
        assert slow.loads == 1
        await core.load_model("default", "tiny")
        assert slow.loads == 2


async def test_loads_that_take_long_leave_connections_for_everything_else(tmp_path: Path) -> None:
    slow = Slow()
    async with beside(slow, tmp_path) as core:
        for number in range(MOST_LOADS):
            await core.models.load("default", ModelName.parse(f"m{number}"), wait=0.0)
        for number in range(MOST_LOADS, 150):
            with pytest.raises(TooManyLoads, match="20 others are being loaded already"):
                await core.models.load("default", ModelName.parse(f"m{number}"), wait=0.0)
        joined = await core.models.load("default", ModelName.parse("M0:latest"), wait=0.0)
        assert not joined.is_done
        assert (await core.models.loaded("default")).error is None
        assert slow.loads <= MOST_LOADS
        slow.may_load.set()
        assert (await core.load_model("default", "m0")).is_done
        assert (await core.load_model("default", "another")).is_done


async def test_the_end_of_the_sidecar_ends_a_load_under_way_with_a_word(tmp_path: Path) -> None:
    slow = Slow()
    async with beside(slow, tmp_path) as core:
        load = asyncio.create_task(core.load_model("default", "tiny"))
        await slow.is_loading.wait()
    with pytest.raises(ShuttingDown):
        await load


# It waits five seconds for the end.
@pytest.mark.timeout(20)
async def test_a_model_that_stays_is_not_told_to_be_unloaded(tmp_path: Path) -> None:
    slow = Slow()
    async with beside(slow, tmp_path) as core:
        slow.may_load.set()
        await core.load_model("default", "tiny")
        found = await core.unload_model("default", "tiny")
        assert (found.is_done, found.message) == (
            False,
            "Model 'tiny' is at work; it is unloaded once that is done.",
        )


async def test_what_ollama_says_against_it_is_told(tmp_path: Path) -> None:
    async with beside(Slow(), tmp_path) as core:
        with pytest.raises(ModelError, match="Ollama says: HTTP 500: the disk is full"):
            await core.models.info("default", TINY)
        with pytest.raises(DeleteFailed, match="Failed to delete model: Ollama says: HTTP 500: the disk is full"):
            await core.models.delete("default", TINY, is_forced=False)
