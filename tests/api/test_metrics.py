"""What each Ollama costs and how it answers, over real HTTP, on the real Ollama."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.metrics import meters
from core.platform.usage import descendants
from tests import fake_ollama, tied
from tests.api.serving import Served, serving
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer, copy_models
from tests.beds.sse import server_events
from tests.beds.wire import call
from tests.rig import Rig

WITHIN = tied.seconds(2.0)
PROMPT = {"model": "tiny", "prompt": "hello", "stream": False, "options": {"num_predict": 4}}


@pytest.fixture
def real(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


async def metrics(served: Served, instance: str = "default") -> dict[str, Any]:
    """What `GET /api/ollama/metrics` says of an instance."""
    async with served.http.get("/api/ollama/metrics") as response:
        assert response.status == 200
        body = await response.json()
    (found,) = (one for one in body["instances"] if one["id"] == instance)
    return dict(found)


async def until(served: Served, fits: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The first metrics that fit; AssertionError after `WITHIN` seconds."""
    deadline = time.monotonic() + WITHIN
    while not fits(found := await metrics(served)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


async def prometheus(served: Served) -> dict[str, float]:
    """The samples of `GET /metrics`, by name and labels as they stand there."""
    async with served.http.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.text()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def generate(rig: Rig, **fields: object) -> None:
    """Have the tiny model say something."""
    answer = await asyncio.to_thread(call, "POST", f"{rig.url}/api/generate", PROMPT | fields, timeout=30.0)
    assert answer.status == 200, answer.body


async def test_before_a_start_nothing_is_known_and_nothing_is_zero(real: Rig) -> None:
    """What has no process takes nothing that could be told: null in JSON, absent for Prometheus."""
    async with serving(real) as served:
        await served.supervisor.status()
        found = await metrics(served)
        now = found["now"]
        assert (now["running"], now["state"]) == (False, "stopped")
        unknown = ("uptimeSeconds", "processes", "cpu", "cpuSeconds", "memoryBytes", "threads", "openFiles", "models")
        assert [now[name] for name in unknown] == [None] * len(unknown)
        assert found["history"]["memoryBytes"][-1] is None
        assert found["starts"]["meanSeconds"] is None
        samples = await prometheus(served)
        assert samples['aura_ollama_up{instance="default"}'] == 0
        assert not [name for name in samples if name.startswith("aura_ollama_process")]


async def test_the_tree_and_its_runner_are_told_with_the_model(real: Rig) -> None:
    """Of all processes together, and of the runner with the model that it holds."""
    async with serving(real) as served:
        await served.supervisor.start()
        await generate(real)
        found = await until(served, lambda found: found["now"]["runners"] and found["now"]["models"])
        now = found["now"]
        family = await asyncio.to_thread(real.ollamas)
        assert now["running"]
        assert now["processes"] == len(family)
        assert now["threads"] >= len(family)
        assert 0 <= now["uptimeSeconds"] < 60
        (runner,) = now["runners"]
        assert runner["model"] == "tiny:latest"
        assert runner["pid"] in {process.pid for process in family[1:]}
        assert [(model["name"], model["vramBytes"]) for model in now["models"]] == [("tiny:latest", 0)]
        assert found["starts"]["count"] == 1
        assert 0 < found["starts"]["meanSeconds"] < 10


async def test_requests_are_counted_and_ours_are_not(real: Rig) -> None:
    """By route and class; made-up paths are one; what failed is told by its route, and no path is."""
    async with serving(real) as served:
        await served.supervisor.start()
        for _ in range(3):
            await generate(real)
        asked = [("GET", "/api/tags")] * 2 + [("GET", "/made/up"), ("GET", "/wp-login.php"), ("GET", "/v1/models/none")]
        for method, path in asked:
            await asyncio.to_thread(call, method, real.url + path)
        await served.supervisor.models()
        expected = {
            ("/api/generate", "2xx"): 3,
            ("/api/tags", "2xx"): 2,
            ("/v1/models", "4xx"): 1,
            ("other", "4xx"): 2,
        }
        whole = await until(served, lambda found: _counted(found["requests"]) == expected)
        found = whole["requests"]
        assert found["total"] == 8
        assert [(error["route"], error["status"]) for error in found["errors"]] == [
            ("other", 404),
            ("other", 404),
            ("/v1/models", 404),
        ]
        assert "/made/up" not in str(found)
        took = sum(route["seconds"] for route in found["routes"])
        assert took > 0
        assert whole["now"]["requestSeconds"] == pytest.approx(took, abs=1e-5)
        history = whole["history"]
        assert sum(history["requests"]) == 8
        assert sum(history["requestSeconds"]) == pytest.approx(took, abs=1e-5)
        samples = await prometheus(served)
        name = 'aura_ollama_request_duration_seconds_count{instance="default",route="/api/generate",status="2xx"}'
        assert samples[name] == 3


def _counted(requests: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(one["route"], one["status"]): one["count"] for one in requests["routes"]}


async def test_a_runner_that_is_killed_shows_within_two_seconds(real: Rig) -> None:
    """While somebody looks at the stream, with nothing asked in between; what it has used is not taken back."""
    async with serving(real) as served:
        await served.supervisor.start()
        await generate(real)
        async with served.http.get("/api/ollama/events?types=metrics") as response:
            seen: list[tuple[float, dict[str, Any]]] = []
            killed_at = None
            async with asyncio.timeout(20):
                async for event in server_events(response):
                    if event.type != "metrics":
                        continue
                    seen.append((time.monotonic(), event.json))
                    if killed_at is None and event.json["runners"]:
                        killed_at = time.monotonic()
                        psutil.Process(event.json["runners"][0]["pid"]).kill()
                    elif killed_at is not None and not event.json["runners"]:
                        break
        assert killed_at is not None
        assert seen[-1][0] - killed_at <= WITHIN
        assert seen[-1][1]["cpuSeconds"] >= seen[0][1]["cpuSeconds"]


async def test_events_come_each_second_to_whoever_asks_for_them_and_to_nobody_else(tmp_path: Path) -> None:
    """And while the stream is there the history has a row a second, without gaps."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        await served.supervisor.start()
        async with served.http.get("/api/ollama/events?types=metrics") as response:
            moments = []
            async with asyncio.timeout(tied.seconds(8.0)):
                async for event in server_events(response):
                    if event.type == "metrics":
                        assert (event.json["instance"], event.json["state"]) == ("default", "running")
                        moments.append(time.monotonic())
                    if len(moments) == 4:
                        break
        # Two pauses of a second; that they are not much longer the deadline says.
        assert moments[3] - moments[1] > 1.2
        rows = (await metrics(served))["history"]
        assert len({len(column) for column in rows.values()}) == 1
        assert len(rows["at"]) >= 4
        newest = served.core.events.newest
        async with served.http.get(f"/api/ollama/events?since={served.core.events.id_of(newest)}") as response:
            # The first stream has gone, and with it who had asked for metrics.
            async for event in server_events(response):
                assert event.type == "hello"
                break
        assert served.core.events.newest == newest


async def test_an_ollama_that_is_not_ours_is_told_too(tmp_path: Path) -> None:
    """Its processes and its models; its log we do not have, and hardly show up in it."""
    theirs = tmp_path / "theirs"
    copy_models(theirs / "models")
    with OllamaServer(theirs, executable=require(ollama).executable) as server:
        rig = Rig(tmp_path / "ours", server.executable)
        rig.port, rig.url = server.port, server.url
        rig.configure()
        await generate(rig)
        async with serving(rig) as served:
            await served.supervisor.status()
            found = await until(served, lambda found: found["now"]["state"] == "external" and found["now"]["models"])
            before = server.log.read_bytes().count(b"/api/ps")
            # Wine does not say who listens at a port.
            is_known = not tied.ON_WINE
            family = await asyncio.to_thread(descendants, server.pid)
            assert found["now"]["processes"] == (len(family) + 1 if is_known else None)
            for _ in range(3):
                await asyncio.sleep(0.3)
                found = await metrics(served)
            assert [runner["model"] for runner in found["now"]["runners"]] == (["tiny:latest"] if is_known else [])
            assert found["requests"]["total"] == 0
            # Others look too: rounds, and whoever has the status freshened.
            assert server.log.read_bytes().count(b"/api/ps") <= before + 1


async def until_sampled(served: Served) -> None:
    """Wait for the sample that is taken at the start, whoever looks."""
    deadline = time.monotonic() + WITHIN
    while served.core.metrics.newest("default") is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_nobody_looks_and_little_is_done(real: Rig) -> None:
    """One sample at the start, and the next one half a minute later; whoever asks gets a fresh one at once."""
    async with serving(real) as served:
        await served.supervisor.start()
        await until_sampled(served)
        assert served.core.metrics.newest("another") is None
        assert not served.core.metrics.is_watched
        await generate(real)
        began = time.monotonic()
        found = await metrics(served)
        assert time.monotonic() - began < tied.seconds(3.0)
        assert found["now"]["runners"]
        assert served.core.metrics.is_watched
        assert meters.IDLE_SECONDS == 30


@pytest.mark.parametrize("path", ["/metrics", "/api/ollama/metrics"])
@pytest.mark.parametrize("hostile", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_metrics_are_refused_to_foreign_pages_and_names(
    tmp_path: Path, path: str, hostile: dict[str, str]
) -> None:
    """By the same access checks as everything else, and nothing is sampled for them."""
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    async with serving(rig) as served:
        async with served.http.get(path, headers=hostile) as response:
            assert response.status == 403
        assert not served.core.metrics.is_watched
