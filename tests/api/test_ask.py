"""One question to a model through the sidecar, with the real Ollama."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import psutil
import pytest

from core.models.models import MOST_ASKED
from tests import tied
from tests.api.serving import serving
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import copy_models
from tests.rig import Rig

PATIENCE = aiohttp.ClientTimeout(total=50)
ASK = "/api/ollama/models/tiny/ask"


# A model is loaded and makes 100 tokens, on two busy cores.
@pytest.mark.timeout(60)
async def test_a_model_that_is_not_in_memory_answers_and_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    copy_models(tmp_path / "models")
    rig = Rig(tmp_path, require(ollama).executable)
    async with serving(rig) as served:
        async with served.http.post(ASK, json={"question": "?"}) as response:
            assert (response.status, (await response.json())["code"]) == (409, "not_running")
        await served.supervisor.start()
        async with served.http.post(ASK, json={"question": "Say hello."}, timeout=PATIENCE) as response:
            body = await response.json()
        assert (response.status, body["success"], body["modelName"]) == (200, True, "tiny")
        assert 0 < len(body["answer"]) <= 20_000
        async with served.http.post("/api/ollama/models/nobody/ask", json={"question": "?"}) as response:
            assert (response.status, (await response.json())["code"]) == (404, "model_not_found")
        wrong: object
        for wrong in ({"question": ""}, {"question": "x" * 4001}, {"question": 1}, {"prompt": "?"}, []):
            async with served.http.post(ASK, json=wrong) as response:
                assert response.status == 400, wrong


@tied.posix("stops Ollama by a signal")
@pytest.mark.timeout(60)
async def test_only_a_few_questions_wait_for_an_ollama_that_hangs(tmp_path: Path) -> None:
    copy_models(tmp_path / "models")
    rig = Rig(tmp_path, require(ollama).executable)
    async with serving(rig) as served:
        pid = (await served.supervisor.start()).pid

        async def asked() -> int:
            async with served.http.post(ASK, json={"question": "?"}, timeout=PATIENCE) as response:
                return response.status

        frozen = psutil.Process(pid)
        frozen.suspend()
        try:
            asking = [asyncio.create_task(asked()) for _ in range(MOST_ASKED + 1)]
            done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        finally:
            frozen.resume()
        assert [task.result() for task in done] == [409]
        assert [await task for task in waiting] == [200] * MOST_ASKED
