"""`aura-ollama models`, `ps`, `load`, `unload` and `rm`, against the real Ollama."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import exits
from tests.beds.gguf import write_tiny_model
from tests.beds.server import create_model
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def loaded(running: Sidecar) -> Iterator[Sidecar]:
    """The sidecar with the model `tiny` in memory."""
    said = aura("load", "tiny", data=running.root)
    assert (said.code, said.out, said.err) == (exits.DONE, "Model 'tiny' loaded successfully.\n", "")
    yield running
    aura("unload", "tiny", data=running.root)


def test_models_are_listed_below_headers(running: Sidecar) -> None:
    said = aura("models", data=running.root)
    assert (said.code, said.err) == (exits.DONE, "")
    headers, row = said.out.splitlines()
    assert headers.split() == ["NAME", "SIZE", "MODIFIED", "PARAMETERS", "QUANTIZATION"]
    assert re.fullmatch(r"tiny:latest +[\d.]+ KB +(just now|\d+ \w+ ago) +[\d.]+K +unknown", row)
    assert headers.index("SIZE") + len("SIZE") == row.index(" KB") + len(" KB")
    with_json = aura("models", "--json", data=running.root)
    assert with_json.json == call("GET", f"{running.url}/api/ollama/models").json


def test_what_is_loaded_is_told_and_unloaded(loaded: Sidecar) -> None:
    said = aura("ps", data=loaded.root)
    assert (said.code, said.err) == (exits.DONE, "")
    headers, row = said.out.splitlines()
    assert headers.split() == ["NAME", "SIZE", "VRAM", "UNTIL", "CONTEXT", "INSTANCE"]
    assert re.fullmatch(r"tiny:latest +[\d.]+ [KM]B +0 B +in \d+ minutes( +\d+)? +default", row)
    assert aura("ps", "--json", data=loaded.root).json["models"][0]["name"] == "tiny:latest"
    assert aura("ps", "--json", "--instance", "default", data=loaded.root).json["count"] == 1
    gone = aura("unload", "tiny", data=loaded.root)
    assert (gone.code, gone.out) == (exits.DONE, "Model 'tiny' unloaded successfully.\n")
    none = aura("ps", data=loaded.root)
    assert (none.code, none.out, none.err) == (exits.DONE, "", "No model is in memory.\n")


@pytest.mark.parametrize("command", ["load", "unload"])
def test_a_model_that_is_not_there_is_told_in_the_words_of_the_api(running: Sidecar, command: str) -> None:
    refused = call("POST", f"{running.url}/api/ollama/models/nobody/{command}")
    said = aura(command, "nobody", data=running.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert str(refused.json["message"]) in said.err
    assert aura(command, "nobody", "--json", data=running.root).json == refused.json


def test_a_model_is_deleted_with_yes_and_not_without_where_nobody_can_be_asked(
    running: Sidecar, tmp_path: Path
) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    for name in ("one", "two"):
        create_model(running.ollama_url, name, (tmp_path / "tiny.gguf").read_bytes())
    refused = aura("rm", "one", "two", data=running.root)
    assert (refused.code, refused.out) == (exits.USAGE, "")
    assert "add --yes to delete" in refused.err
    said = aura("rm", "--yes", "one", "nobody", "two", data=running.root)
    assert (said.code, said.out) == (exits.FAILED, "Model 'one' deleted successfully.\n")
    assert "Failed to delete model: Model 'nobody' is not installed." in said.err
    last = aura("rm", "-y", "two", "--json", data=running.root)
    assert (last.code, last.json["success"]) == (exits.DONE, True)
    assert aura("models", data=running.root).out.count("\n") == 2


def test_a_model_in_memory_is_deleted_only_by_force(running: Sidecar, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.gguf")
    create_model(running.ollama_url, "held", (tmp_path / "tiny.gguf").read_bytes())
    assert aura("load", "held", data=running.root).code == exits.DONE
    refused = aura("rm", "--yes", "held", data=running.root)
    assert refused.code == exits.FAILED
    assert "is loaded, and so is not deleted. Unload it first, or add --force." in refused.err
    said = aura("rm", "--yes", "--force", "held", data=running.root)
    assert (said.code, said.out) == (exits.DONE, "Model 'held' deleted successfully.\n")


@pytest.mark.parametrize("command", ["pull", "load", "unload", "rm --yes"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("..", "a model that begins with '.'"),
        ("../..", "a namespace that begins with '.'"),
        ("<img src=x>", "a model that begins with '<'"),
        ("\u202etxt", "a model that begins with '\\u202e'"),
        ("x" * 20_000, "Shorten the name"),
    ],
    ids=["dots", "path", "html", "rtl", "long"],
)
def test_a_name_that_is_none_is_told_what_is_wrong_with_it(
    running: Sidecar, command: str, name: str, words: str
) -> None:
    said = aura(*command.split(), name, data=running.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert words in said.err
    assert "\u202e" not in said.err
    assert len(said.err) < 500


@pytest.mark.parametrize(
    "command", ["models", "ps", "jobs", "events", "events -f", "load x", "unload x", "rm -y x", "pull x"]
)
def test_without_a_sidecar_each_says_how_to_start_one(command: str, tmp_path: Path) -> None:
    said = aura(*command.split(), data=tmp_path)
    assert (said.code, said.out) == (exits.NO_SIDECAR, "")
    assert said.err.startswith("aura-ollama: No sidecar runs on ")
    assert "aura-ollama run --headless" in said.err


@pytest.mark.parametrize("command", ["logs", "logs -f"])
def test_what_is_done_for_the_default_instance_alone_is_told(running: Sidecar, command: str) -> None:
    said = aura(*command.split(), "--instance", "other", data=running.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert "The sidecar cannot do this for the instance other, only for default. Leave --instance out" in said.err


@pytest.mark.parametrize(
    "command", ["models", "load x", "unload x", "rm -y x", "pull x", "ps", "jobs", "events", "events -f", "settings"]
)
def test_an_instance_that_is_not_there_is_told_and_not_waited_for(running: Sidecar, command: str) -> None:
    said = aura(*command.split(), "--instance", "other", data=running.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert said.err == "aura-ollama: There is no instance 'other'. Use one of default.\n"


def test_the_default_instance_may_be_named(running: Sidecar) -> None:
    assert aura("models", "--instance", "default", data=running.root).code == exits.DONE
