"""What the Aura app calls, row by row, on the real Ollama: statuses, and every field with its type and value."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from core.models.gpu import detected
from core.platform.gpu import installed_gpus
from core.supervision.state import State
from tests import tied
from tests.api.serving import Served, serving
from tests.beds import gguf
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.rig import Rig, until_state

PROBLEM = {"type", "title", "status", "detail", "code", "success", "message", "action"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
# Each starts a real Ollama, some a model runner.
pytestmark = pytest.mark.timeout(tied.seconds(20))


@dataclass(frozen=True)
class Is:
    """Equal to whatever the check says yes to."""

    check: Callable[[Any], bool]

    def __eq__(self, other: object) -> bool:
        return self.check(other)

    def __hash__(self) -> int:
        return id(self.check)


TEXT = Is(lambda value: isinstance(value, str) and value != "")
NUMBER = Is(lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0)
TIME = Is(lambda value: isinstance(value, str) and MOMENT.fullmatch(value) is not None)
SIZE = Is(lambda value: isinstance(value, str) and re.fullmatch(r"[\d.]+ (B|KB|MB|GB)", value) is not None)
DIGEST = Is(lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None)
MODEL = {
    "name": "tiny:latest",
    "size": SIZE,
    "sizeBytes": NUMBER,
    "sizeFormatted": SIZE,
    "modifiedAt": TIME,
    "digest": DIGEST,
    "family": "llama",
    "parameterSize": TEXT,
    "quantizationLevel": "unknown",
}
LOADED = {
    "name": "tiny:latest",
    "size": SIZE,
    "sizeBytes": NUMBER,
    "sizeVram": "0 B",
    "sizeVramBytes": 0,
    "expiresAt": TIME,
    "context": Is(lambda value: value is None or value > 0),
    "instance": "default",
}
HEALTHY = {
    "isHealthy": True,
    "version": "0.9.3",
    "availableModels": ["tiny:latest"],
    "runningModels": [],
    "baseUrl": TEXT,
    "responseTimeMs": NUMBER,
    "errorMessage": None,
    "lastChecked": TIME,
}
DOWN = HEALTHY | {"isHealthy": False, "version": None, "availableModels": [], "errorMessage": "Not reachable"}
INFO = {"name": "tiny", "parameters": None, "modelfile": TEXT, "contextWindow": gguf.CONTEXT}
# Of this machine, if it has one.
CARD = detected(installed_gpus())
GPU: dict[str, object] = {
    "gpuEnabled": True,
    "numGpu": -1,
    "numCtx": 4096,
    "autoDetect": True,
    "hasGpu": CARD.name is not None,
    "gpuName": CARD.name,
    "vramMB": CARD.memory or 0,
    "vramFormatted": TEXT if CARD.memory else "N/A",
    "recommendedNumGpu": -1 if CARD.name else 0,
    "recommendedNumCtx": CARD.context if CARD.name else 2048,
    "detectionMethod": TEXT if CARD.name else "NotAvailable",
    "notes": [],
}
RECOMMENDED = [
    ("llama3.2:3b", "2.0 GB", True),
    ("llama3.1:8b", "4.7 GB", True),
    ("mistral:7b", "4.1 GB", True),
    ("llama3.1:70b", "40 GB", False),
]

Answer = tuple[int, dict[str, Any]]


async def call(served: Served, method: str, path: str, body: object = None) -> Answer:
    """The call as the Aura client makes it: JSON is the content type whether there is a body or not."""
    headers = {"Content-Type": "application/json", "X-Correlation-ID": "0c0ffee0"}
    async with served.http.request(method, f"/api/ollama/{path}", headers=headers, json=body) as response:
        assert response.headers["X-Correlation-ID"] == "0c0ffee0"
        return response.status, await response.json(content_type=None)


def problem(status: int, message: object, model: str | None = None, **more: object) -> dict[str, object]:
    """The body of an error: all that the app's screens read."""
    begin = message.rstrip(".") if isinstance(message, str) else ""
    found: dict[str, object] = {
        "type": TEXT,
        "title": TEXT,
        "status": status,
        "detail": Is(lambda detail: isinstance(detail, str) and detail.startswith(begin)),
        "code": TEXT,
        "message": message,
        "success": False,
        "action": Is(lambda action: action is None or isinstance(action, str)),
    }
    return found | ({"modelName": model} if model else {}) | more


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


def changed(message: str, name: str, *, success: bool = True) -> dict[str, object]:
    return {"success": success, "message": message, "modelName": name}


WHILE_UP = [
    ("GET", "health", 200, HEALTHY),
    ("POST", "wait?maxRetries=10&retryDelayMs=2000", 200, HEALTHY),
    ("POST", "wait", 200, HEALTHY),
    ("GET", "models", 200, {"models": [MODEL], "count": 1, "error": None}),
    ("GET", "models/loaded", 200, {"models": [], "count": 0, "error": None}),
    ("GET", "models/tiny/info", 200, INFO),
    ("GET", "models/tiny%3Alatest/info", 200, INFO | {"name": "tiny:latest"}),
    ("GET", "models/gone%3A3b/info", 404, problem(404, "Model 'gone:3b' is not installed.", "gone:3b")),
    ("GET", "models/tiny/available", 200, {"modelName": "tiny", "isAvailable": True, "error": None}),
    ("GET", "models/TINY%3Alatest/available", 200, {"modelName": "TINY:latest", "isAvailable": True, "error": None}),
    ("GET", "models/tiny%3A3b/available", 200, {"modelName": "tiny:3b", "isAvailable": False, "error": None}),
    (
        "GET",
        "models/hf.co%2Fuser%2Fmodel%3Aq4/available",
        200,
        {"modelName": "hf.co/user/model:q4", "isAvailable": False, "error": None},
    ),
    ("POST", "models/gone/load", 404, problem(404, "Model 'gone' is not installed.", "gone")),
    ("POST", "models/gone/unload", 404, problem(404, "Model 'gone' is not installed.", "gone")),
    ("POST", "models/tiny/unload", 200, changed("Model 'tiny' is not loaded", "tiny")),
    (
        "DELETE",
        "models/llama3.2%3A3b",
        400,
        problem(400, "Failed to delete model: Model 'llama3.2:3b' is not installed.", "llama3.2:3b"),
    ),
]

WHILE_DOWN = [
    ("GET", "health", 200, DOWN),
    ("POST", "wait?maxRetries=2&retryDelayMs=1", 503, DOWN),
    ("GET", "models", 200, {"models": [], "count": 0, "error": "Not reachable"}),
    ("GET", "models/loaded", 200, {"models": [], "count": 0, "error": "Ollama is not running."}),
    ("GET", "models/tiny/info", 409, problem(409, "Ollama is not running.")),
    ("GET", "models/tiny/available", 200, {"modelName": "tiny", "isAvailable": False, "error": "Not reachable"}),
    ("POST", "models/tiny/load", 409, problem(409, "Ollama is not running.")),
    ("POST", "models/tiny/unload", 409, problem(409, "Ollama is not running.")),
    ("DELETE", "models/tiny", 400, problem(400, "Failed to delete model: Ollama is not running.", "tiny")),
]

AT_ANY_TIME = [
    ("GET", "models/a%2Fb%2Fc%2Fd/info", 400, problem(400, TEXT, code="bad_model_name")),
    ("GET", "models/..%2F..%2Fx/available", 400, problem(400, TEXT, code="bad_model_name")),
    ("POST", "models/x%20y/load", 400, problem(400, TEXT, code="bad_model_name")),
    ("POST", "models/hf.co%2Fx/unload", 400, problem(400, TEXT, code="bad_model_name")),
    ("DELETE", "models/-x", 400, problem(400, TEXT, code="bad_model_name")),
    ("DELETE", "models/x?force=maybe", 400, problem(400, "force is 'maybe'.", code="bad_value")),
    ("POST", "wait?maxRetries=0", 400, problem(400, "maxRetries is '0'.", code="bad_value")),
    ("POST", "wait?retryDelayMs=-1", 400, problem(400, "retryDelayMs is '-1'.", code="bad_value")),
]


async def test_every_row_while_ollama_is_up(rig: Rig) -> None:
    async with serving(rig) as served:
        status, started = await call(served, "POST", "start")
        assert (status, started["success"], started["pid"]) == (200, True, rig.record.pid)
        for method, path, expected, body in WHILE_UP:
            assert await call(served, method, path) == (expected, body), (method, path)


async def test_every_row_while_it_is_down(rig: Rig) -> None:
    async with serving(rig) as served:
        for method, path, expected, body in [*WHILE_DOWN, *AT_ANY_TIME]:
            assert await call(served, method, path) == (expected, body), (method, path)


async def test_every_row_beside_an_external_ollama(rig: Rig) -> None:
    """An Ollama that was not started here has its models read, loaded and deleted just the same."""
    server = await asyncio.to_thread(OllamaServer, rig.root / "home", models=rig.root / "models", port=rig.port)
    with server:
        await asyncio.to_thread(server.wait_ready)
        async with serving(rig) as served:
            await until_state(served.supervisor, State.EXTERNAL)
            for method, path, expected, body in WHILE_UP:
                assert await call(served, method, path) == (expected, body), (method, path)
            deleted = await call(served, "DELETE", "models/tiny")
            assert deleted == (200, changed("Model 'tiny' deleted successfully", "tiny"))


async def test_a_model_is_loaded_kept_from_a_delete_unloaded_and_deleted(rig: Rig) -> None:
    async with serving(rig) as served:
        await call(served, "POST", "start")
        assert await call(served, "POST", "models/tiny/load") == (
            200,
            changed("Model 'tiny' loaded successfully", "tiny"),
        )
        assert await call(served, "GET", "models/loaded") == (200, {"models": [LOADED], "count": 1, "error": None})
        assert (await call(served, "GET", "health"))[1] == HEALTHY | {"runningModels": ["tiny:latest"]}
        assert await call(served, "DELETE", "models/tiny") == (
            409,
            problem(409, "Model 'tiny' is loaded, and so is not deleted.", "tiny", code="model_in_use"),
        )
        unloaded = await call(served, "POST", "models/tiny%3Alatest/unload")
        assert unloaded == (200, changed("Model 'tiny:latest' unloaded successfully", "tiny:latest"))
        await call(served, "POST", "models/tiny/load")
        assert await call(served, "DELETE", "models/tiny?force=true") == (
            200,
            changed("Model 'tiny' deleted successfully", "tiny"),
        )
        assert (await call(served, "GET", "models"))[1] == {"models": [], "count": 0, "error": None}
        assert (await call(served, "GET", "models/tiny/available"))[1]["isAvailable"] is False


async def test_the_recommended_models_are_auras_own(rig: Rig) -> None:
    async with serving(rig) as served:
        status, body = await call(served, "GET", "models/recommended")
    assert status == 200
    rows = body["models"]
    assert [(row["name"], row["size"], row["isRecommended"]) for row in rows] == RECOMMENDED
    keys = {"name", "displayName", "description", "size", "sizeBytes", "isRecommended"}
    assert all(row.keys() == keys and row["sizeBytes"] > 10**9 for row in rows)


async def test_while_it_hangs_the_last_lists_stand_and_health_says_so(rig: Rig) -> None:
    async with serving(rig) as served:
        await call(served, "POST", "start")
        await call(served, "GET", "models")
        server = psutil.Process(rig.record.pid)
        server.suspend()
        try:
            status, health = await call(served, "GET", "health")
            assert status == 200
            assert (health["isHealthy"], health["errorMessage"]) == (False, "Connection timeout")
            assert health["availableModels"] == ["tiny:latest"]
            assert health["responseTimeMs"] > 100
            _, available = await call(served, "GET", "models/tiny/available")
            assert available == {"modelName": "tiny", "isAvailable": True, "error": "Connection timeout"}
            _, loaded = await call(served, "GET", "models/loaded")
            assert (loaded["models"], loaded["error"]) == ([], "Connection timeout")
        finally:
            server.resume()


async def test_a_wait_ends_as_soon_as_ollama_is_up(rig: Rig) -> None:
    """And not only at its next look."""
    async with serving(rig) as served:
        waiting = asyncio.create_task(call(served, "POST", "wait?maxRetries=100&retryDelayMs=10000"))
        await call(served, "POST", "start")
        async with asyncio.timeout(tied.seconds(5)):
            assert await waiting == (200, HEALTHY)


async def test_models_without_a_tag_are_there_under_any_other(rig: Rig) -> None:
    async with serving(rig) as served:
        await call(served, "POST", "start")
        copied = {"source": "tiny", "destination": "user/other:q4"}
        async with served.http.post(f"{rig.url}/api/copy", json=copied) as response:
            assert response.status == 200
        # A list is shared for 250 ms, and the copy was not made through us.
        await served.supervisor.list_models_again()
        for name, is_available in (("user/other", True), ("user/other:q4", True), ("user/other:latest", False)):
            _, body = await call(served, "GET", f"models/{quote(name, safe='')}/available")
            assert body == {"modelName": name, "isAvailable": is_available, "error": None}
        _, info = await call(served, "GET", "models/user%2fother%3aq4/info")
        assert info["name"] == "user/other:q4"


async def test_the_graphics_processor_is_told_of_and_set(rig: Rig) -> None:
    before = json.loads(rig.paths.settings.read_text())
    async with serving(rig) as served:
        assert await call(served, "GET", "gpu/status") == (200, GPU)
        config = {"gpuEnabled": False, "numGpu": 0, "numCtx": 8192, "autoDetect": False}
        assert await call(served, "PUT", "gpu/config", config) == (200, GPU | config)
        assert await call(served, "GET", "gpu/status") == (200, GPU | config)
        written = json.loads(rig.paths.settings.read_text())
        assert written == before | {
            "ollamaGpuEnabled": False,
            "ollamaNumGpu": 0,
            "ollamaNumCtx": 8192,
            "ollamaGpuAutoDetect": False,
        }
        # Null, and what is left out, stays as it is.
        partly = {"numGpu": None, "gpuEnabled": True, "numCtx": 8192.0}
        assert await call(served, "PUT", "gpu/config", partly) == (200, GPU | config | {"gpuEnabled": True})
        anew = {"numGpu": -1, "numCtx": CARD.context} if CARD.name else {"numGpu": 0, "numCtx": 8192}
        assert await call(served, "POST", "gpu/auto-detect") == (200, GPU | anew)


NAMES = "gpuEnabled, numGpu, numCtx, autoDetect"
BAD_CONFIGURATIONS: list[tuple[object, str, str]] = [
    ({"numGpu": -2}, "numGpu is '-2'.", "Send a whole number from -1 to 10000."),
    ({"numGpu": "5"}, "numGpu is '\"5\"'.", "Send a whole number from -1 to 10000."),
    ({"numGpu": 1.5}, "numGpu is '1.5'.", "Send a whole number from -1 to 10000."),
    ({"numCtx": 2**31}, "numCtx is '2147483648'.", "Send a whole number from 0 to 2147483647."),
    ({"gpuEnabled": 1}, "gpuEnabled is '1'.", "Send true or false."),
    ({"autoDetect": "true"}, "autoDetect is '\"true\"'.", "Send true or false."),
    ({"numgpu": 5}, "A name in the body is 'numgpu'.", f"Use any of {NAMES}."),
    ([], "The body is '[]'.", f"Send a JSON object with any of {NAMES}."),
    (None, "The body is ''.", f"Send a JSON object with any of {NAMES}."),
]


async def test_a_configuration_that_makes_no_sense_changes_nothing(rig: Rig) -> None:
    before = rig.paths.settings.read_bytes()
    async with serving(rig) as served:
        for body, message, action in BAD_CONFIGURATIONS:
            answer = await call(served, "PUT", "gpu/config", body)
            assert answer == (400, problem(400, message, code="bad_value", action=action)), body
    assert rig.paths.settings.read_bytes() == before
