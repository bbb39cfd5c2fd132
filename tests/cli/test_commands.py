"""The smaller commands: metrics, instances, token, open, run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli import exits
from tests.beds.ending import NO_WINDOW, end
from tests.beds.sidecar import CHECKOUT, GREETING, Sidecar
from tests.beds.wire import call
from tests.cli.terminal import DEADLINE, PROGRAM, aura, environment

pytestmark = pytest.mark.timeout(90)


def test_metrics_tell_what_ollama_takes_and_how_fast_it_answers(running: Sidecar) -> None:
    body: dict[str, object] = {"model": "tiny", "prompt": "x", "raw": True, "stream": False, "keep_alive": 0}
    answer = call("POST", f"{running.ollama_url}/api/generate", body | {"options": {"num_predict": 3}}, timeout=60)
    assert answer.status == 200
    said = aura("metrics", data=running.root)
    assert (said.code, said.err) == (exits.DONE, "")
    for words in ("default: running", "Memory", " MB", "Starts"):
        assert words in said.out
    whole = aura("metrics", "--json", data=running.root)
    assert [each["id"] for each in whole.json["instances"]] == ["default"]
    assert aura("metrics", "--instance", "other", data=running.root).code == exits.FAILED


def test_instances_are_listed(running: Sidecar) -> None:
    said = aura("instances", data=running.root)
    assert said.code == exits.DONE
    header, row = said.out.splitlines()
    assert header.split() == ["Instance", "State", "Address", "Process", "Version", "Model"]
    assert row.split()[:3] == ["default", "running", running.ollama_url]
    assert [each["id"] for each in aura("instances", "--json", data=running.root).json["instances"]] == ["default"]
    missing = aura("instances", "--instance", "other", data=running.root)
    assert (missing.code, missing.out) == (exits.FAILED, "")
    assert "Use one of default." in missing.err


def test_the_token_is_printed_only_by_its_own_command(shared: Sidecar) -> None:
    path = shared.root / "AuraData/run/token"
    secret = path.read_text().strip()
    assert aura("token", data=shared.root).out == f"{secret}\n"
    assert aura("token", "--json", data=shared.root).json == {"token": secret}
    assert aura("token", "--path", data=shared.root).out == f"{path}\n"
    for arguments in (["status"], ["settings"], ["instances"], ["metrics"], ["open", "--print"]):
        said = aura(*arguments, data=shared.root)
        assert secret not in said.out + said.err


def test_no_token_is_told_and_none_is_made(tmp_path: Path) -> None:
    said = aura("token", data=tmp_path)
    assert (said.code, said.out) == (exits.FAILED, "")
    assert "There is no token" in said.err
    assert list(tmp_path.iterdir()) == []


def test_with_require_token_each_command_sends_it(shared: Sidecar) -> None:
    assert aura("settings", "set", "requireToken", "true", data=shared.root).code == exits.DONE
    try:
        assert call("GET", f"{shared.url}/api/ollama/status").status == 403
        assert aura("status", data=shared.root).code in (exits.DONE, exits.NOT_RUNNING)
        assert aura("metrics", data=shared.root).code == exits.DONE
    finally:
        assert aura("settings", "reset", "requireToken", data=shared.root).code == exits.DONE


def test_a_proxy_of_the_environment_is_not_asked(shared: Sidecar) -> None:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    assert aura("instances", data=shared.root, env=proxies).code == exits.DONE


@pytest.mark.parametrize(("what", "folder"), [("data", "AuraData"), ("logs", "AuraData/logs/ollama")])
def test_a_folder_is_named_where_nothing_can_open_it(running: Sidecar, what: str, folder: str) -> None:
    said = aura("open", what, "--print", data=running.root)
    assert (said.code, said.out) == (exits.DONE, f"{running.root / folder}\n")


def test_the_address_of_the_page_is_printed_on_request(shared: Sidecar) -> None:
    said = aura("open", "--print", data=shared.root)
    assert said.code == exits.DONE
    assert said.out.startswith(f"{shared.url}/")
    as_json = aura("open", "page", "--print", "--json", data=shared.root)
    assert (as_json.json["what"], as_json.json["opened"]) == ("page", False)


def test_a_folder_that_is_not_there_is_not_opened(tmp_path: Path) -> None:
    said = aura("open", "logs", "--print", data=tmp_path)
    assert said.code == exits.FAILED
    assert "does not exist yet" in said.err


def test_run_headless_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    command = [*PROGRAM, "run", "--headless", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment({"PYTHONUNBUFFERED": "1"}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        creationflags=NO_WINDOW,
    ) as process:
        assert process.stdout is not None
        found = GREETING.search(process.stdout.readline())
        assert found
        assert aura("instances", data=tmp_path).code == exits.DONE
        assert end(process, DEADLINE) == 0


def test_the_help_of_run_is_that_of_the_program() -> None:
    said = aura("run", "--help")
    assert said.code == exits.DONE
    assert said.out.startswith("usage: aura-ollama run ")
    assert "--rotate-token" in said.out


def test_the_words_of_a_shim_still_reach_it() -> None:
    """Older shims bear them on their command lines, and a frozen program may be its own shim."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--shim", "/nowhere/spec.json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        creationflags=NO_WINDOW,
    )
    assert done.returncode != 0
    assert "usage:" not in done.stderr
