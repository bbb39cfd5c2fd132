"""Pulls and jobs over real HTTP, by the real Ollama from a registry on loopback."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from api.routes.jobs import preferred
from core.supervision.state import State
from tests import tied
from tests.api.serving import Served, serving
from tests.api.streaming import reading
from tests.beds.registry import Registry, registry
from tests.core.jobs.bed import MB, named, rig_for, until_job, weights
from tests.rig import Rig, until_state

JOBS = "/api/ollama/jobs"
EVENTS = "/api/ollama/events?types=job,models"
# As Aura sends it, with an empty body.
JSON = {"Content-Type": "application/json"}
ASYNC = JSON | {"Prefer": "respond-async"}
JOB_KEYS = {
    "id",
    "kind",
    "model",
    "instance",
    "state",
    "completed",
    "total",
    "percent",
    "bytesPerSecond",
    "secondsLeft",
    "step",
    "message",
    "error",
    "startedAt",
    "endedAt",
}
pytestmark = pytest.mark.timeout(40)  # Ollama looks once a second whether a layer has ended


@pytest.fixture
async def shop() -> AsyncIterator[Registry]:
    async with registry() as found:
        yield found


@pytest.fixture
def rig(shop: Registry, tmp_path: Path) -> Rig:
    return rig_for(shop, tmp_path)


def pull_of(shop: Registry, model: str) -> str:
    """The path of the call, with the name as a client encodes it."""
    return f"/api/ollama/models/{quote(shop.name(model), safe='')}/pull"


async def ended(served: Served, id: str) -> dict[str, object]:
    await served.core.jobs.wait(id, tied.seconds(15.0))
    async with served.http.get(f"{JOBS}/{id}") as response:
        assert response.status == 200
        found: dict[str, object] = await response.json()
    return found


async def test_a_pull_that_ends_in_time_is_a_success(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1)])
    async with serving(rig) as served:
        await served.supervisor.start()
        async with served.http.post(pull_of(shop, "big"), headers=JSON) as response:
            body = await response.json()
            assert response.status == 200, body
        name = shop.name("big")
        (job,) = served.core.jobs.all
        assert body == {
            "success": True,
            "message": f"Model '{name}' pulled successfully",
            "modelName": name,
            "jobId": job.id,
        }


@pytest.mark.timeout(60)  # it waits for as long as the Aura app's patience allows
@pytest.mark.parametrize(("prefer", "seconds"), [({}, 25.0), ({"Prefer": "wait=2"}, 2.0)])
async def test_a_pull_that_lasts_says_how_far_it_is_and_goes_on(
    shop: Registry, rig: Rig, prefer: dict[str, str], seconds: float
) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with serving(rig) as served:
        await served.supervisor.start()
        began = time.monotonic()
        # Whoever repeats the call meanwhile, as Aura's client does, waits for the same download.
        patient = aiohttp.ClientTimeout(total=30.0)
        answers = await asyncio.gather(
            *(served.http.post(pull_of(shop, "big"), headers=JSON | prefer, timeout=patient) for _ in range(2))
        )
        assert seconds - 0.1 < time.monotonic() - began < seconds + tied.seconds(1.5)
        bodies = [await answer.json() for answer in answers]
        assert [answer.status for answer in answers] == [200, 200]
        assert bodies[0].keys() == {"success", "message", "modelName", "jobId"}
        assert [body["success"] for body in bodies] == [False, False]
        assert re.fullmatch(r"\d+ % of 3\.81 MB, .*; it goes on", bodies[0]["message"]), bodies[0]
        (job,) = served.core.jobs.all
        assert {body["jobId"] for body in bodies} == {job.id}
        await shop.release(blob)
        assert (await ended(served, job.id))["state"] == "done"


async def test_who_prefers_it_gets_the_job_at_once(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with serving(rig) as served:
        await served.supervisor.start()
        began = time.monotonic()
        async with served.http.post(
            pull_of(shop, "big"),
            headers=JSON | {"Prefer": "handling=lenient, Respond-Async; x=1", "Origin": "http://localhost:5173"},
        ) as answer:
            body = await answer.json()
            assert answer.status == 202, body
            assert answer.headers["Preference-Applied"] == "respond-async"
            exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
            assert exposed >= {"Location", "Preference-Applied"}
        assert time.monotonic() - began < tied.seconds(1.5)
        assert body.keys() == JOB_KEYS
        assert (body["kind"], body["instance"], body["model"]) == ("pull", "default", str(named(shop, "big")))
        async with served.http.get(answer.headers["Location"]) as response:
            assert (await response.json())["id"] == body["id"]
        await until_job(served.core.jobs, body["id"], lambda found: found.percent >= 45)
        async with served.http.get(JOBS) as response:
            listed = await response.json()
        assert listed["count"] == 1
        (job,) = listed["jobs"]
        assert (job["state"], job["completed"], job["total"], job["percent"]) == ("running", 2 * MB, 4 * MB, 50)
        assert job["message"].startswith("50 % of 3.81 MB")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job["startedAt"])
        assert (job["endedAt"], job["error"]) == (None, None)
        await shop.release(blob)
        done = await ended(served, body["id"])
        assert (done["state"], done["percent"], done["endedAt"] is None) == ("done", 100, False)


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ([], (False, 25)),
        (["respond-async"], (True, 0)),
        (["wait=10, respond-async"], (True, 10)),
        (["respond-async", "wait=3"], (True, 3)),
        (["wait=99"], (False, 25)),
        (["wait=-1", "wait=x", "wait=", "wait=1e3"], (False, 25)),
        (["wait=20, wait=5"], (False, 5)),
        (["respond-asynchronously"], (False, 25)),
        ([";;,=,,"], (False, 25)),
    ],
)
def test_preferences_are_read_as_the_standard_has_them(prefer: list[str], expected: tuple[bool, int]) -> None:
    headers = CIMultiDict([("Prefer", each) for each in prefer])
    assert preferred(make_mocked_request("POST", "/", headers=headers)) == expected


async def test_a_delete_of_a_job_cancels_it_and_ends_the_traffic(shop: Registry, rig: Rig) -> None:
    (blob,) = shop.add("big:latest", [weights(1)])
    blob.hold_at = 2 * MB
    async with serving(rig) as served:
        await served.supervisor.start()
        waiting = asyncio.create_task(served.http.post(pull_of(shop, "big"), headers=JSON))
        await shop.until(lambda: shop.served >= 2 * MB)
        (job,) = served.core.jobs.all
        for _ in range(2):
            async with served.http.delete(f"{JOBS}/{job.id}") as response:
                assert response.status == 200
                assert (await response.json())["state"] == "cancelled"
        await shop.until(lambda: shop.aborted == 1 and shop.open == 0)
        answer = await waiting
        body = await answer.json()
        assert (answer.status, body["success"]) == (200, False)
        assert body["message"] == f"The download of '{shop.name('big')}' was cancelled."


async def test_a_pull_that_fails_says_why_in_all_that_aura_reads(shop: Registry, rig: Rig) -> None:
    async with serving(rig) as served:
        await served.supervisor.start()
        async with served.http.post(pull_of(shop, "none"), headers=JSON) as response:
            body = await response.json()
        assert response.status == 400
    name = shop.name("none")
    assert body.keys() >= {"success", "message", "title", "detail", "status", "code", "modelName"}
    assert (body["success"], body["status"], body["code"], body["modelName"]) == (False, 400, "pull_failed", name)
    assert body["message"].startswith(f"Failed to pull model '{name}': ")
    assert "no such model" in body["message"]


async def test_without_an_ollama_a_pull_is_a_400_with_the_way_out(shop: Registry, rig: Rig) -> None:
    async with serving(rig) as served:
        await until_state(served.supervisor, State.STOPPED)
        async with served.http.post(pull_of(shop, "big"), headers=ASYNC) as response:
            body = await response.json()
        assert response.status == 400
        name = shop.name("big")
        assert body["message"] == f"Failed to pull model '{name}': Ollama is not running."
        assert body["action"] == "Start it, and pull again."
        async with served.http.get(JOBS) as response:
            assert await response.json() == {"jobs": [], "count": 0}


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("a/b/c/d", 400, "bad_model_name"), ("reg.example/a/b", 403, "registry_not_allowed")],
)
async def test_what_may_not_be_pulled_makes_no_job(rig: Rig, name: str, status: int, code: str) -> None:
    async with serving(rig) as served:
        await served.supervisor.start()
        path = f"/api/ollama/models/{quote(name, safe='')}/pull"
        async with served.http.post(path, headers=JSON) as response:
            body = await response.json()
        assert (response.status, body["code"]) == (status, code)
        assert served.core.jobs.all == ()


async def test_a_job_that_is_not_there_is_a_404(rig: Rig) -> None:
    async with serving(rig) as served:
        for call in (served.http.get, served.http.delete):
            async with call(f"{JOBS}/0123456789ab") as response:
                body = await response.json()
            assert (response.status, body["code"]) == (404, "no_such_job")
            assert "0123456789ab" in body["message"]
            assert body["action"]


async def test_the_stream_of_events_tells_of_a_job_with_its_own_id_inside(shop: Registry, rig: Rig) -> None:
    shop.add("big:latest", [weights(1)])
    shop.rate = 8 * MB
    async with serving(rig) as served, reading(served, EVENTS) as events:
        await served.supervisor.start()
        async with served.http.post(pull_of(shop, "big"), headers=ASYNC) as response:
            job = await response.json()
        found = []
        is_listed = False
        async for event in events:
            if event.type == "models" and event.json["count"] == 1:
                is_listed = True
            if event.type == "job":
                found.append(event.json)
                if found[-1]["job"]["state"] == "done":
                    break
        assert is_listed
    assert {each["job"]["id"] for each in found} == {job["id"]}
    assert all(each["job"].keys() == JOB_KEYS for each in found)
    assert all(each["id"].startswith(f"{each['epoch']}-") for each in found)
    percents = [each["job"]["percent"] for each in found]
    assert percents == sorted(percents)
    assert percents[-1] == 100
