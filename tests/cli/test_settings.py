"""`settings`: what is in force, one of them, and their change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import exits
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)


def own(sidecar: Sidecar) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((sidecar.root / "AuraData/ollama-sidecar.json").read_text())
    return found


def test_all_are_listed_with_their_defaults(shared: Sidecar) -> None:
    said = aura("settings", data=shared.root)
    assert (said.code, said.err) == (exits.DONE, "")
    rows = {line.split()[0]: line.split() for line in said.out.splitlines()}
    assert rows["stopOnTerminate"] == ["stopOnTerminate", "true", "false"]
    assert rows["stopTimeout"] == ["stopTimeout", "5"]
    whole = aura("settings", "get", "--json", data=shared.root)
    assert whole.json == call("GET", f"{shared.url}/api/ollama/settings").json


def test_one_is_set_got_and_reset(shared: Sidecar) -> None:
    for key, value, shown in (
        ("readyTimeout", "12.5", "12.5"),
        ("restartOnCrash", "on", "true"),
        ("logStarts", "7", "7"),
        ("allowedRegistries", "a.example, b.example:5", '["a.example", "b.example:5"]'),
        ("canary", '{"model": "tiny"}', None),
    ):
        said = aura("settings", "set", key, value, data=shared.root)
        assert (said.code, said.err) == (exits.DONE, "")
        assert said.out.startswith(f"{key} is ")
        if shown is not None:
            assert aura("settings", "get", key, data=shared.root).out == f"{shown}\n"
            assert json.loads(shown) == own(shared)[key]
        reset = aura("settings", "reset", key, data=shared.root)
        assert ", its default.\n" in reset.out


def test_a_negative_number_is_no_option(shared: Sidecar) -> None:
    assert aura("settings", "set", "ollamaNumGpu", "-1", data=shared.root).code == exits.DONE


def test_what_takes_effect_later_is_told_and_a_host_that_exposes_is_refused(shared: Sidecar) -> None:
    said = aura("settings", "set", "port", "5099", data=shared.root)
    assert (said.code, said.err) == (exits.DONE, "")
    assert "takes effect when the sidecar is started anew" in said.out
    said = aura("settings", "set", "ollamaNumCtx", "8192", data=shared.root)
    assert "takes effect when Ollama is started anew" in said.out
    assert "takes effect" not in aura("settings", "set", "readyTimeout", "11", data=shared.root).out
    before = own(shared)
    refused = aura("settings", "set", "host", "0.0.0.0", data=shared.root)
    assert (refused.code, refused.out) == (exits.FAILED, "")
    for words in ("`host`", "0.0.0.0", "`requireToken`", "127.0.0.1"):
        assert words in refused.err
    assert own(shared) == before


def test_what_the_token_guards_is_changed_too(shared: Sidecar) -> None:
    assert aura("settings", "set", "allowInsecureRegistries", "true", data=shared.root).code == exits.DONE
    assert own(shared)["allowInsecureRegistries"] is True


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("readyTimeout", "soon", ("`readyTimeout`", '"soon"', "up to 600")),
        ("readyTimeout", "inf", ("`readyTimeout`", '"inf"')),
        ("stopOnQuit", "perhaps", ("`stopOnQuit`", '"perhaps"', "true or false")),
        ("port", "65536", ("`port`", "65536", "65535")),
        ("canary", "{", ("`canary`", "object")),
        ("readytimeot", "1", ("`readytimeot`", "`readyTimeout`")),
        ("\x1b[31m", "1", ("`aura-ollama settings`",)),
    ],
)
def test_what_will_not_do_is_told_with_the_way_out(
    shared: Sidecar, key: str, value: str, words: tuple[str, ...]
) -> None:
    before = own(shared)
    said = aura("settings", "set", key, value, data=shared.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    for word in words:
        assert word in said.err
    assert "\x1b" not in said.err
    assert own(shared) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set",), "set needs the name of a setting"),
        (("set", "readyTimeout"), "set needs a value for readyTimeout"),
        (("reset",), "reset needs the name"),
        (("reset", "readyTimeout", "5"), "use `set readyTimeout 5`"),
        (("get", "readyTimeout", "5"), "use set to change"),
        (("put", "readyTimeout", "5"), "'put'"),
    ],
)
def test_half_a_command_is_a_usage_error(arguments: tuple[str, ...], words: str) -> None:
    said = aura("settings", *arguments)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert words in said.err
