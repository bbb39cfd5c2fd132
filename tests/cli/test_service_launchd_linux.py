"""Our own launch agent, against the stand-in for launchctl: installed, upgraded, killed, changed and removed.

The real Ollama lives throughout, and the paths have spaces and odd letters.
"""

from __future__ import annotations

import json
import os
import plistlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.platform import launchd
from core.platform.service import texts
from tests.beds import launchd as bed
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import ollama_environment
from tests.beds.wire import free_port, listens
from tests.cli import terminal

pytestmark = pytest.mark.timeout(180)  # each command, and each call of the stand-in, is a Python of its own

DEADLINE = 40.0


class Mac:
    """A home, and a data folder whose name asks for care."""

    def __init__(self, root: Path) -> None:
        self.launchctl = bed.install(root / "bin")
        self.home = root / "home"
        self.home.mkdir()
        self.data = root / 'a b é "q" & <it\'s> 100%'
        self.port = free_port()
        self.ollama = free_port()
        aura = self.data / "AuraData"
        aura.mkdir(parents=True)
        executable = require(ollama).executable
        settings = {"ollamaUrl": f"http://127.0.0.1:{self.ollama}", "ollamaExecutablePath": str(executable)}
        (aura / "settings.json").write_text(json.dumps(settings))
        env = ollama_environment(root, root / "models")
        (aura / "ollama-sidecar.json").write_text(json.dumps({"env": env, "stopOnTerminate": True}))
        self.place = self.home / "Library" / "LaunchAgents" / f"{texts.AGENT}.plist"
        self.target = f"{launchd.domains()[0]}/{texts.AGENT}"

    def said(self, *arguments: str) -> terminal.Said:
        env = {"HOME": str(self.home), "PATH": f"{self.launchctl}{os.pathsep}{os.environ['PATH']}"}
        return terminal.aura(*arguments, data=self.data, env=env)

    def aura(self, *arguments: str) -> Any:
        """What `aura-ollama … --json` answers."""
        said = self.said(*arguments, "--json")
        assert said.code == 0, said
        return said.json

    def refused(self, *arguments: str) -> str:
        """The words with which `aura-ollama …` fails."""
        said = self.said(*arguments)
        assert (said.code, said.out) == (1, "")
        return said.err

    def is_adopted(self, pid: int) -> bool:
        said = self.said("status", "--json")
        return said.code == 0 and (said.json["adopted"], said.json["pid"]) == (True, pid) and listens(self.ollama)


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mac]:
    found = Mac(tmp_path)
    monkeypatch.setattr(terminal, "PROGRAM", (sys.executable, "-m", "tests.beds.as_mac", "cli"))
    monkeypatch.setenv("PATH", f"{found.launchctl}{os.pathsep}{os.environ['PATH']}")
    yield found
    bed.end(found.launchctl)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ollama_lives_through_all_that_happens_to_our_agent(mac: Mac) -> None:
    assert not mac.aura("service", "status")["installed"]
    assert not mac.aura("service", "uninstall")["removed"]
    mac.place.parent.mkdir(parents=True)
    mac.place.write_bytes(plistlib.dumps({"Label": texts.AGENT, "ProgramArguments": ["/bin/true"]}))
    before = mac.place.read_bytes()
    for action in ("install", "uninstall"):
        assert "was not written by" in mac.refused("service", action)
    assert mac.place.read_bytes() == before
    mac.place.unlink()

    first = mac.aura("service", "install", "--port", str(mac.port))
    assert (first["manager"], first["place"], first["origin"]) == ("launchd", str(mac.place), "ours")
    assert (first["enabled"], first["running"]) == (True, True)
    agent = plistlib.loads(mac.place.read_bytes())
    assert agent["ProgramArguments"][-5:] == ["--service", "--data-dir", str(mac.data), "--port", str(mac.port)]
    until(lambda: listens(mac.port))
    pid = mac.aura("start")["pid"]
    try:
        second = mac.aura("service", "install", "--port", str(mac.port))
        assert second["pid"] != first["pid"]
        until(lambda: mac.is_adopted(pid))

        psutil.Process(second["pid"]).kill()
        until(lambda: mac.aura("service", "status")["pid"] not in (None, second["pid"]))
        until(lambda: mac.is_adopted(pid))

        text = mac.place.read_bytes()
        mac.place.write_bytes(text.replace(b"Interactive", b"Background"))
        for action in ("install", "uninstall"):
            assert "changed by somebody since" in mac.refused("service", action)
        assert mac.aura("service", "status")["origin"] == "changed"
        mac.place.write_bytes(text)

        assert mac.aura("service", "uninstall")["removed"]
        assert not mac.place.exists()
        assert launchd.job(mac.target) is None
        assert listens(mac.ollama)
        assert not listens(mac.port)
        assert not mac.aura("service", "uninstall")["removed"]
    finally:
        psutil.Process(pid).terminate()
    until(lambda: not listens(mac.ollama))
    assert "listening on" in (mac.data / "AuraData" / "logs" / "service.log").read_text()
