"""Our entries for service managers: what they run, and how they are known for ours again."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from core.platform.service import texts
from core.platform.service.mark import Origin, origin
from tests import tied

ODD = ['/opt/a b/$HOME/100%/it\'s "so" \\n', "--data-dir", "/d/é 𝄞;#"]
NAMESPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}


@pytest.fixture(params=["systemd", "launchd"])
def entry(request: pytest.FixtureRequest) -> Callable[[list[str]], str]:
    """Makes an entry of a command."""

    def agent(command: list[str]) -> str:
        return texts.launch_agent(command, "/l")

    return texts.systemd_unit if request.param == "systemd" else agent


def test_an_entry_of_any_command_is_known_for_ours(entry: Callable[[list[str]], str]) -> None:
    assert origin(entry(["/a"])) is Origin.OURS
    assert origin(entry(ODD)) is Origin.OURS


def test_an_entry_that_somebody_changed_is_told_apart(entry: Callable[[list[str]], str]) -> None:
    text = entry(["/a"])
    assert origin(text.replace("/a", "/b")) is Origin.CHANGED
    assert origin(text + "\n") is Origin.CHANGED


def test_an_entry_without_a_mark_is_somebody_elses(entry: Callable[[list[str]], str]) -> None:
    assert origin("".join(entry(["/a"]).partition("aura-ollama service")[::2])) is Origin.FOREIGN
    assert origin("") is Origin.FOREIGN


def test_what_no_entry_can_hold_is_refused_with_the_way_out(entry: Callable[[list[str]], str]) -> None:
    with pytest.raises(ValueError, match=r"'/a\\nb' in its command\. Rename"):
        entry(["/a\nb"])


@tied.linux("systemd's own parser reads the unit")
@pytest.mark.parametrize("name", ["a $HOME 100% b;", "it's", 'a "b"', "a\\b"])
def test_systemd_takes_any_path_and_knows_every_directive(tmp_path: Path, name: str) -> None:
    """Its own checker has nothing to say of the unit, and would have."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    program, unit = tmp_path / name, tmp_path / texts.UNIT
    program.write_text("")
    program.chmod(0o755)

    def said(text: str) -> list[str]:
        unit.write_text(text)
        # As a system's unit: a user's manager would want a session.
        command = [analyze, "verify", "--man=no", str(unit)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=9, check=False)
        return [line for line in found.stderr.splitlines() if texts.UNIT in line or str(tmp_path) in line]

    text = texts.systemd_unit([str(program), *ODD[1:]])
    assert said(text) == []
    (wrong,) = said(text.replace("OOMPolicy", "OMPolicy"))
    assert "OMPolicy" in wrong


def test_the_agent_runs_the_command_and_leaves_ollama_running() -> None:
    agent = plistlib.loads(texts.launch_agent(ODD, "/l o g").encode())
    assert agent["ProgramArguments"] == ODD
    assert agent["Label"] == texts.AGENT
    assert (agent["AbandonProcessGroup"], agent["StandardErrorPath"]) == (True, "/l o g")


def test_the_task_runs_the_command_for_one_user_without_limits() -> None:
    text = texts.logon_task([r"C:\a & b\p.exe", "--data-dir", r"C:\x y"], "DOMAIN\\<me>")
    # The text itself is UTF-16 only once it is a file.
    root = ElementTree.fromstring(text.partition("?>")[2].lstrip())  # noqa: S314 - our own text

    def value(path: str) -> str | None:
        return root.findtext("/".join(f"t:{part}" for part in path.split("/")), namespaces=NAMESPACE)

    assert value("Actions/Exec/Command") == r"C:\a & b\p.exe"
    assert value("Actions/Exec/Arguments") == r'--data-dir "C:\x y"'
    assert value("Triggers/LogonTrigger/UserId") == "DOMAIN\\<me>"
    assert value("Settings/ExecutionTimeLimit") == "PT0S"
    assert value("Settings/DisallowStartIfOnBatteries") == "false"
