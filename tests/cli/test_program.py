"""From a command line to an exit code: what is no command, what no sidecar can answer, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import exits, table
from tests.beds.sidecar import Sidecar
from tests.beds.wire import call
from tests.cli.terminal import aura

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ([], (None, [])),
        (["--headless"], (None, ["--headless"])),
        (["--shim", "spec.json"], (None, ["--shim", "spec.json"])),
        (["--port", "status"], (None, ["--port", "status"])),
        (["--data-dir", "status"], (None, ["--data-dir", "status"])),
        (["status", "--json"], ("status", ["--json"])),
        (["--json", "status"], ("status", ["--json"])),
        (["--data-dir", "x", "--instance=y", "status", "-h"], ("status", ["--data-dir", "x", "--instance=y", "-h"])),
        (["statsu"], ("statsu", [])),
    ],
)
def test_the_first_word_that_is_no_option_is_the_command(line: list[str], meant: tuple[str | None, list[str]]) -> None:
    assert table.split(line) == meant


def test_help_lists_the_options_of_the_program_and_all_commands() -> None:
    said = aura("--help")
    assert said.code == exits.DONE
    assert "--rotate-token" in said.out
    for command in table.COMMANDS:
        assert f"  {command.name} " in said.out


@pytest.mark.parametrize("command", [command.name for command in table.COMMANDS])
def test_each_command_has_a_help_text_without_a_sidecar(command: str) -> None:
    said = aura(command, "--help")
    assert (said.code, said.err) == (exits.DONE, "")
    assert f"usage: aura-ollama {command} " in said.out


def test_a_mistyped_command_is_told_which_one_may_be_meant() -> None:
    said = aura("statsu")
    assert (said.code, said.out) == (exits.USAGE, "")
    assert said.err == "aura-ollama: 'statsu' is no command. Did you mean `aura-ollama status`?\n"


def test_what_resembles_no_command_is_told_where_they_are_listed() -> None:
    said = aura("x\x1b[31m" + "y" * 500)
    assert said.code == exits.USAGE
    assert "\x1b" not in said.err
    assert "`aura-ollama --help` lists all commands." in said.err


def test_an_unknown_option_is_a_usage_error() -> None:
    said = aura("status", "--quick")
    assert (said.code, said.out) == (exits.USAGE, "")
    assert "--quick" in said.err


@pytest.mark.parametrize(
    "line",
    [
        ["status", "--json", "--quick"],
        ["--json", "statsu"],
        ["statsu", "--json"],
        ["settings", "set", "--json"],
        ["pull", "--json", ""],
        ["logs", "--json", "-n", "x\x1b[31m"],
    ],
)
def test_a_usage_error_is_a_problem_in_json_too(line: list[str]) -> None:
    said, plain = aura(*line), aura(*(word for word in line if word != "--json"))
    assert (said.code, plain.code, plain.out) == (exits.USAGE, exits.USAGE, "")
    assert said.err == plain.err
    assert said.json["code"] == "usage"
    assert said.json["success"] is False
    assert said.json["message"].removesuffix(".") in said.err
    assert "--help" in said.json["action"] or "Did you mean" in said.json["action"]


def test_what_follows_two_dashes_is_no_option() -> None:
    said = aura("statsu", "--", "--json")
    assert (said.code, said.out) == (exits.USAGE, "")


@pytest.mark.parametrize(
    "line",
    [
        ["rm", "--yes", ""],
        ["pull", ""],
        ["load", ""],
        ["unload", ""],
        ["jobs", "cancel", ""],
        ["settings", "get", ""],
        ["status", "--instance", ""],
        ["status", "--data-dir", ""],
        ["--headless", "--port", "0", "--data-dir", ""],
    ],
)
def test_what_is_empty_is_a_usage_error(line: list[str]) -> None:
    """As that of an unset variable of a shell's, which must mean neither all nor the folder one is in."""
    said = aura(*line)
    assert (said.code, said.out) == (exits.USAGE, "")
    assert "it is empty; give a value, or leave it out" in said.err


def test_start_restart_and_stop_do_so_and_say_it(stopped: Sidecar) -> None:
    def state() -> object:
        return call("GET", f"{stopped.url}/api/ollama/status").json["state"]

    started = aura("start", data=stopped.root)
    assert (started.code, started.err) == (exits.DONE, "")
    assert started.out.startswith("Ollama started successfully (pid ")
    assert state() == "running"
    restarted = aura("restart", "--json", data=stopped.root)
    assert restarted.code == exits.DONE
    assert restarted.json["success"] is True
    assert state() == "running"
    ended = aura("stop", data=stopped.root)
    assert (ended.code, ended.out) == (exits.DONE, "Ollama stopped successfully.\n")
    assert state() == "stopped"


def test_a_refusal_is_told_in_the_words_of_the_sidecar(stopped: Sidecar) -> None:
    refused = call("POST", f"{stopped.url}/api/ollama/stop")
    assert refused.status == 409
    said = aura("stop", data=stopped.root)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert str(refused.json["message"]) in said.err
    with_json = aura("stop", "--json", data=stopped.root)
    assert (with_json.code, with_json.json) == (exits.FAILED, refused.json)
    assert with_json.err == said.err


def test_without_a_sidecar_it_says_how_to_start_one(tmp_path: Path) -> None:
    said = aura("start", data=tmp_path)
    assert (said.code, said.out) == (exits.NO_SIDECAR, "")
    assert "No sidecar runs on" in said.err
    # Without the folder a sidecar would serve another one.
    assert f'`aura-ollama run --headless --data-dir "{tmp_path}"`' in said.err
    assert aura("start", "--json", data=tmp_path).json["code"] == "no_sidecar"
    assert list(tmp_path.iterdir()) == []
