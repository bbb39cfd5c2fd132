"""The JSON of every answer, by name and type: what is documented is there in each state, and nothing else is."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from api.errors import STATUS_OF, core_problem
from api.schemas import models_body, status_body
from core import errors
from core.errors import CoreError, SpawnFailed
from core.ollama.models import Model
from core.supervision.state import RESTING, ModelsNews, State, Status
from tests import fake_ollama
from tests.api.serving import Served, serving
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.rig import Rig

TEXT, WHOLE, TRUTH = {"str"}, {"int"}, {"bool"}
Shape = dict[str, set[str]]

STATUS: Shape = {
    "running": TRUTH,
    "pid": WHOLE | {"NoneType"},
    "managedByApp": TRUTH,
    "model": TEXT | {"NoneType"},
    "error": TEXT | {"NoneType"},
    "installed": TRUTH,
    "version": TEXT | {"NoneType"},
    "installPath": TEXT | {"NoneType"},
    "state": TEXT,
    "wanted": TEXT,
    "baseUrl": TEXT,
    "owner": TEXT | {"NoneType"},
    "offer": TEXT | {"NoneType"},
    "startable": TRUTH,
    "controlledBy": TEXT,
    "reason": TEXT | {"NoneType"},
    "settingsError": TEXT | {"NoneType"},
    "adopted": TRUTH,
    "restarts": WHOLE,
    "health": TEXT | {"NoneType"},
    "ownerRestarts": WHOLE | {"NoneType"},
    "ageMs": WHOLE,
    "headline": TEXT,
    "detail": TEXT | {"NoneType"},
    "action": TEXT | {"NoneType"},
}
STARTED: Shape = {"success": TRUTH, "message": TEXT, "pid": WHOLE}
STOPPED: Shape = {"success": TRUTH, "message": TEXT, "pid": {"NoneType"}}
LOGS: Shape = {"logs": {"list"}, "totalLines": WHOLE, "error": TEXT | {"NoneType"}}
MODELS: Shape = {"models": {"list"}, "count": WHOLE, "error": TEXT | {"NoneType"}}
MODEL: Shape = {
    "name": TEXT,
    "size": TEXT,
    "sizeBytes": WHOLE,
    "modifiedAt": TEXT,
    "sizeFormatted": TEXT,
    "digest": TEXT,
    "family": TEXT,
    "parameterSize": TEXT,
    "quantizationLevel": TEXT,
}
HEALTH: Shape = {"status": TEXT, "name": TEXT, "version": TEXT}
SHOWN: Shape = {"shown": TRUTH, "reason": TEXT | {"NoneType"}}
PROBLEM: Shape = {
    "type": TEXT,
    "title": TEXT,
    "status": WHOLE,
    "detail": TEXT,
    "code": TEXT,
    "message": TEXT,
    "success": TRUTH,
    "action": TEXT | {"NoneType"},
}


def misfits(body: dict[str, object], shape: Shape) -> list[str]:
    """Every name that is missing, is there unsaid, or has a value of another type."""
    names = sorted({*body, *shape})
    return [name for name in names if name not in body or type(body[name]).__name__ not in shape.get(name, set())]


async def ask(served: Served, method: str, path: str) -> tuple[int, str, dict[str, object]]:
    """Status, content type and body of one call, sent as the Aura client does."""
    async with served.http.request(method, path, headers={"Content-Type": "application/json"}) as response:
        return response.status, response.content_type, json.loads(await response.read())


async def test_every_answer_of_a_real_ollama_has_its_shape(tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    async with serving(rig) as served:
        for method, path, shape in (
            ("GET", "/api/ollama/status", STATUS),
            ("GET", "/api/ollama/models", MODELS),
            ("GET", "/api/ollama/logs", LOGS),
            ("GET", "/healthz", HEALTH),
            ("POST", "/api/app/show", SHOWN),
            ("POST", "/api/ollama/start", STARTED),
            ("GET", "/api/ollama/status", STATUS),
            ("GET", "/api/ollama/models", MODELS),
            ("GET", "/api/ollama/logs", LOGS),
            ("POST", "/api/ollama/start", STARTED),
            ("POST", "/api/ollama/restart", STARTED),
            ("POST", "/api/ollama/stop", STOPPED),
            ("GET", "/api/ollama/status", STATUS),
        ):
            status, kind, body = await ask(served, method, path)
            assert (status, kind, misfits(body, shape)) == (200, "application/json", []), (path, body)
            if shape is MODELS:
                listed = body["models"]
                assert isinstance(listed, list)
                assert body["count"] == len(listed)
                assert [misfits(model, MODEL) for model in listed] == [[] for _ in listed]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/ollama/logs?maxLines=0", 400, "bad_value"),
        ("GET", "/nowhere", 404, "http_404"),
        ("GET", "/api/ollama/stop", 405, "http_405"),
        ("POST", "/api/ollama/stop", 409, "nothing_managed"),
        ("GET", "/api/ollama/restart", 405, "http_405"),
        ("POST", "/api/ollama/start", 500, "spawn_failed"),
        ("POST", "/api/ollama/restart", 500, "spawn_failed"),
    ],
)
async def test_every_error_is_a_problem_that_says_its_own_status(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin", FAKE_EXIT="3"))
    async with serving(rig) as served:
        found, kind, body = await ask(served, method, path)
    assert (found, kind, misfits(body, PROBLEM)) == (status, "application/problem+json", [])
    assert (body["status"], body["code"], body["success"]) == (status, code, False)
    assert body["type"] == f"urn:aura-ollama:{code}"
    assert str(body["detail"]).startswith(str(body["message"]))


def _leaves(kind: type[CoreError]) -> set[type[CoreError]]:
    return {kind}.union(*(_leaves(below) for below in kind.__subclasses__()))


def test_every_core_error_has_a_status_of_its_own_choice_and_none_is_401() -> None:
    codes = {kind.code for kind in _leaves(CoreError) if kind.__module__ == errors.__name__}
    assert codes - {CoreError.code} == set(STATUS_OF)
    # The Aura app shows 4xx, repeats 5xx, and logs its user out on 401.
    assert set(STATUS_OF.values()) <= {400, 403, 404, 409, 500, 503}


def test_the_way_out_is_part_of_the_detail_that_the_app_shows() -> None:
    body = core_problem(SpawnFailed("It ended.", action="Look into the log.")).body
    assert isinstance(body, bytes)
    shown = json.loads(body)
    assert (shown["message"], shown["detail"]) == ("It ended.", "It ended. Look into the log.")
    assert shown["action"] == "Look into the log."


@pytest.mark.parametrize("state", State)
def test_running_and_managed_say_different_things_in_each_state(state: State) -> None:
    body = status_body(Status(state=state))
    assert body.running is (state in {State.RUNNING, State.EXTERNAL})
    assert body.managed_by_app is (state not in RESTING)
    assert misfits(json.loads(msgspec.json.encode(body)), STATUS) == []


def test_the_first_loaded_model_is_the_model() -> None:
    assert status_body(Status(loaded=("a:latest", "b:latest"))).model == "a:latest"
    assert status_body(Status()).model is None


def test_age_is_whole_milliseconds_and_never_below_zero() -> None:
    now = time.monotonic()
    assert 2000 <= status_body(Status(seen_at=now - 2)).age_ms < 3000
    assert status_body(Status(seen_at=now + 5)).age_ms == 0


def test_the_reason_is_the_failure_or_else_who_holds_the_port() -> None:
    held = Status(state=State.STOPPED, owner="nginx (pid 7)")
    assert "nginx (pid 7)" in str(status_body(held).reason)
    assert status_body(replace(held, failure=SpawnFailed("It ended."))).reason == "It ended."
    assert status_body(replace(held, state=State.EXTERNAL)).reason is None


def test_the_reason_is_what_to_write_in_the_place_of_an_address_that_is_none() -> None:
    held = Status(state=State.STOPPED, owner="ollama (pid 7)", wanted_url="http://x/v1", meant_url="http://x")
    assert status_body(held).reason == (
        "No Ollama answers at http://x/v1. "
        'Set ollamaUrl to "http://x": Ollama\'s own address, by plain http and without a path.'
    )


def test_the_reason_is_what_a_start_waits_for_or_what_would_refuse_it() -> None:
    down = Status(state=State.NOT_INSTALLED, path_problem="Ollama path /x does not exist")
    assert status_body(down).reason == "Ollama path /x does not exist"
    torn = replace(down, settings_problem="settings.json, line 1: it ends too soon")
    assert status_body(torn).reason == torn.settings_problem
    assert status_body(replace(torn, state=State.RUNNING)).reason is None
    assert status_body(Status(state=State.STARTING, waits_for="It prints.")).reason == "It prints."
    assert status_body(Status(state=State.STOPPED, cause="The proxy is none.")).reason == "The proxy is none."


def test_one_that_runs_is_installed_even_if_nobody_may_know_where() -> None:
    assert status_body(Status(state=State.EXTERNAL)).installed
    assert not status_body(Status(state=State.NOT_INSTALLED)).installed


def test_a_path_is_text_and_what_is_not_installed_has_none() -> None:
    found = status_body(Status(install_path=Path(sys.executable)))
    assert (found.installed, found.install_path) == (True, sys.executable)
    none = status_body(Status())
    assert (none.installed, none.install_path) == (False, None)


def test_models_keep_the_order_in_which_ollama_lists_them() -> None:
    body = models_body(ModelsNews((Model("b", 1024, "2024-11-01T12:30:00+02:00"), Model("a")), None))
    assert [(model.name, model.size, model.modified_at) for model in body.models] == [
        ("b", "1 KB", "2024-11-01T10:30:00Z"),
        ("a", "0 B", ""),
    ]
    assert (body.count, body.error) == (2, None)
