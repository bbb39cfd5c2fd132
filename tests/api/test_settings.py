"""The settings over REST: all of them, in force, with secrets starred; and their change, all or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.routes.settings import needs_token
from core.platform import SYSTEM
from core.settings import schema
from core.settings.owner import KINDS, PROCESS
from core.settings.schema import AuraSettings, SidecarSettings
from tests.api.test_server import Place
from tests.beds.sidecar import Sidecar
from tests.beds.wire import Answer, call

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def secret(sidecar: Sidecar) -> dict[str, str]:
    return {"X-Aura-Token": (sidecar.root / "AuraData/run/token").read_text().strip()}


def change(sidecar: Sidecar, changes: Any, **headers: str) -> Answer:
    return call("PUT", f"{sidecar.url}/api/ollama/settings", {"changes": changes}, headers=headers)


def values(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: Any = answer.json["settings"]
    return {setting["key"]: setting["value"] for setting in found}


def files(sidecar: Sidecar) -> tuple[str, str]:
    data = sidecar.root / "AuraData"
    return (data / "settings.json").read_text(), (data / "ollama-sidecar.json").read_text()


def test_it_tells_each_setting_with_its_default_and_its_limits(place: Place) -> None:
    with place.sidecar({"readyTimeout": 7.5}) as sidecar:
        answer = call("GET", f"{sidecar.url}/api/ollama/settings")
        found: Any = answer.json["settings"]
        assert [each["key"] for each in found] == [*schema.names(AuraSettings), *schema.names(SidecarSettings)]
        assert answer.json["problem"] is None
        by_key = {each["key"]: each for each in found}
        assert by_key["readyTimeout"] == {
            "key": "readyTimeout",
            "file": "ollama-sidecar.json",
            "value": 7.5,
            "default": 10.0,
            "kind": "number",
            "least": 0.0,
            "most": 600.0,
            "expected": "a number of seconds above 0, up to 600",
            "takesEffect": "at_once",
            "needsToken": False,
        }
        effects = {
            key: by_key[key]["takesEffect"]
            for key in ("host", "port", "requireToken", "env", "ollamaNumCtx", "stopTimeout")
        }
        assert effects == {
            "host": "sidecar_start",
            "port": "sidecar_start",
            "requireToken": "at_once",
            "env": "ollama_start",
            "ollamaNumCtx": "ollama_start",
            "stopTimeout": "ollama_start",
        }
        kinds = {
            key: by_key[key]["kind"] for key in ("ollamaUrl", "ollamaModel", "port", "stopOnQuit", "env", "canary")
        }
        assert kinds == {
            "ollamaUrl": "text",
            "ollamaModel": "text",
            "port": "whole",
            "stopOnQuit": "switch",
            "env": "object",
            "canary": "object",
        }
        assert by_key["allowedOrigins"]["kind"] == "list"


def test_what_is_wrong_with_the_files_is_told_beside_what_is_in_force(place: Place) -> None:
    with place.sidecar() as sidecar:
        place.settings.write_text('{"readyTimeout": "soon"}')
        problem: Any = call("GET", f"{sidecar.url}/api/ollama/settings").json["problem"]
        assert "readyTimeout" in problem["message"]
        assert problem["action"]
        refused = change(sidecar, {"stopTimeout": 6})
        assert refused.status == 400
        assert "readyTimeout" in str(refused.json["message"])
        assert place.settings.read_text() == '{"readyTimeout": "soon"}'
        assert values(change(sidecar, {"readyTimeout": 8}))["readyTimeout"] == 8


def test_changes_of_both_files_are_written_and_in_force_at_once(place: Place) -> None:
    with place.sidecar() as sidecar:
        aura, own = map(json.loads, files(sidecar))
        answer = change(sidecar, {"ollamaModel": "llama3.2:3b", "readyTimeout": 12.5, "stopOnQuit": False})
        assert (values(answer)["ollamaModel"], values(answer)["readyTimeout"]) == ("llama3.2:3b", 12.5)
        now = [json.loads(text) for text in files(sidecar)]
        assert now == [aura | {"ollamaModel": "llama3.2:3b"}, own | {"readyTimeout": 12.5, "stopOnQuit": False}]
        assert values(change(sidecar, {"ollamaModel": None, "readyTimeout": None}))["readyTimeout"] == 10.0


def test_other_bytes_of_auras_file_stay(place: Place) -> None:
    with place.sidecar() as sidecar:
        path = sidecar.root / "AuraData/settings.json"
        url = json.dumps(sidecar.ollama_url)
        text = f'{{ "theme" :\t"dark",\n\n   "ollamaNumCtx":4096 , "ollamaUrl": {url} }}\n'
        path.write_text(text)
        assert values(change(sidecar, {"ollamaNumCtx": 8192}))["ollamaNumCtx"] == 8192
        assert path.read_text() == text.replace("4096", "8192")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ollamaNumCtx": 8192, "readyTimeout": 601}, ("readyTimeout", "601", "up to 600")),
        ({"readyTimeout": 9, "ollamaNumCtx": -1}, ("ollamaNumCtx", "-1", "0 to 2147483647")),
        ({"stopOnQuit": "yes"}, ("stopOnQuit", '"yes"', "true or false")),
        ({"readytimeout": 5}, ("readytimeout", "readyTimeout")),
        ({"canary": {}}, ("canary", "model")),
        ({"logTotalBytes": 65536}, ("logTotalBytes", "logSegmentBytes")),
        ({"ollamaUrl": "http://a b"}, ("ollamaUrl", "a b", "127.0.0.1:11434")),
        ({"env": {"OLLAMA_HOST": "x"}}, ("OLLAMA_HOST", "ollamaUrl")),
        ({"host": "0.0.0.0"}, ("host", "0.0.0.0", "requireToken")),
        *(
            ({"stopOnQuit": False, "owner": kind.example}, ("owner", kind.example, SYSTEM, *kind.systems, PROCESS))
            for kind in KINDS.values()
            if SYSTEM not in kind.systems
        ),
    ],
)
def test_a_value_that_will_not_do_is_named_and_nothing_changes(
    place: Place, changes: dict[str, object], named: tuple[str, ...]
) -> None:
    with place.sidecar() as sidecar:
        before = files(sidecar)
        refused = change(sidecar, changes, **secret(sidecar))
        assert (refused.status, refused.json["code"]) == (400, "bad_setting")
        told = str(refused.json["detail"])
        for words in named:
            assert words in told
        assert refused.json["action"]
        assert files(sidecar) == before


def test_without_the_token_nobody_decides_which_program_runs_or_who_may_call(place: Place) -> None:
    with place.sidecar() as sidecar:
        before = files(sidecar)
        for changes in (
            {"ollamaExecutablePath": "/tmp/evil"},
            {"stopOnQuit": False, "env": {"LD_PRELOAD": "/tmp/evil.so"}},
            {"requireToken": False},
            {"ollamaUrl": "http://evil.example:11434"},
        ):
            refused = change(sidecar, changes)
            assert (refused.status, refused.json["code"]) == (403, "token_required")
            assert files(sidecar) == before
        wrong = change(sidecar, {"requireToken": False}, **{"X-Aura-Token": "x" * 43})
        assert wrong.status == 403
        allowed = change(sidecar, {"allowedRegistries": ["registry.example.com"]}, **secret(sidecar))
        assert values(allowed)["allowedRegistries"] == ["registry.example.com"]


def test_a_setting_that_is_new_needs_the_token() -> None:
    free = {key for kind in (AuraSettings, SidecarSettings) for key in schema.names(kind) if not needs_token(key)}
    for key in ("ollamaUrl", "ollamaExecutablePath", "env", "host", "port", "allowedOrigins", "requireToken"):
        assert key not in free
    assert needs_token("anythingElse")


def test_secrets_are_starred_and_stay_when_what_was_shown_comes_back(place: Place) -> None:
    with place.sidecar() as sidecar:
        own = json.loads(files(sidecar)[1])
        env = own["env"] | {
            "HF_TOKEN": "hf_abcdefgh",
            "HTTPS_PROXY": "http://me:hunter22@proxy:3128",
            "OLLAMA_DEBUG": "1",
        }
        place.settings.write_text(json.dumps(own | {"env": env}))
        url = f"http://me:hunter22@127.0.0.1:{sidecar.ollama_port}"
        (sidecar.root / "AuraData/settings.json").write_text(json.dumps({"ollamaUrl": url}))
        answer = call("GET", f"{sidecar.url}/api/ollama/settings")
        assert b"hunter22" not in answer.body
        assert b"hf_abcdefgh" not in answer.body
        shown = values(answer)
        assert (shown["env"]["HF_TOKEN"], shown["env"]["OLLAMA_DEBUG"]) == ("***", "1")
        again = shown["env"] | {"OLLAMA_DEBUG": "2"}
        assert change(sidecar, {"env": again, "ollamaUrl": shown["ollamaUrl"]}, **secret(sidecar)).status == 200
        aura, now = map(json.loads, files(sidecar))
        assert now["env"] == env | {"OLLAMA_DEBUG": "2"}
        assert aura["ollamaUrl"] == url


def test_a_body_that_is_no_list_of_changes_is_refused(place: Place) -> None:
    with place.sidecar() as sidecar:
        before = files(sidecar)
        bodies: tuple[dict[str, object], ...] = ({"stopOnQuit": False}, {"changes": ["stopOnQuit"]}, {"changes": None})
        for body in bodies:
            refused = call("PUT", f"{sidecar.url}/api/ollama/settings", body)
            assert (refused.status, refused.json["code"]) == (400, "bad_value")
        assert values(change(sidecar, {}))
        assert files(sidecar) == before


def test_instances_are_listed_and_one_is_called_by_its_id(place: Place) -> None:
    with place.sidecar() as sidecar:
        listed: Any = call("GET", f"{sidecar.url}/api/ollama/instances").json["instances"]
        assert [(each["id"], each["state"]) for each in listed] == [("default", "stopped")]
        one = f"{sidecar.url}/api/ollama/instances/default"
        assert call("POST", f"{one}/start", timeout=30).status == 200
        assert call("POST", f"{one}/restart", timeout=30).status == 200
        assert call("GET", one).json["running"] is True
        assert call("GET", f"{sidecar.url}/api/ollama/status").json["running"] is True
        assert call("POST", f"{one}/stop", timeout=30).status == 200
        assert call("GET", one).json["state"] == "stopped"


def test_an_instance_that_is_not_there_is_named(place: Place) -> None:
    with place.sidecar() as sidecar:
        for method, tail in (("GET", ""), ("POST", "/start"), ("POST", "/stop"), ("POST", "/restart")):
            missing = call(method, f"{sidecar.url}/api/ollama/instances/other{tail}")
            assert (missing.status, missing.json["code"]) == (404, "no_such_instance")
            assert "'other'" in str(missing.json["message"])
            assert "default" in str(missing.json["action"])
