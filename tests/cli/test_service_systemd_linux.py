"""Our own unit in a real systemd: installed, upgraded, stopped, hung and removed. The real Ollama lives throughout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.platform.service import texts
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.systemd import Booted
from tests.beds.wire import free_port, listens

pytestmark = pytest.mark.timeout(180)  # a system may boot first
USER, UID = "grace", 4300
HOME = f"/home/{USER}"
PLACE = f"{HOME}/.config/systemd/user/{texts.UNIT}"
DEADLINE = 40.0


class Account:
    """A user inside, who lingers."""

    def __init__(self, booted: Booted) -> None:
        self.booted = booted
        booted.user_manager(USER, UID)
        self._env = ["env", f"HOME={HOME}", f"XDG_RUNTIME_DIR=/run/user/{UID}", f"PYTHONPATH={CHECKOUT}"]

    def run(self, *arguments: str | Path) -> str:
        return self.booted.run(*self._env, *arguments, user=USER, timeout=DEADLINE)

    def aura(self, *arguments: str) -> Any:
        """What `aura-ollama … --json` answers."""
        return json.loads(self.run(sys.executable, "-P", "-m", "cli", *arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The words with which `aura-ollama …` fails."""
        done = self.booted.call(*self._env, sys.executable, "-P", "-m", "cli", *arguments, user=USER)
        assert done.returncode == 1, done
        return done.stderr

    def show(self, name: str) -> str:
        return self.run("systemctl", "--user", "show", "--value", f"--property={name}", texts.UNIT).strip()

    def ctl(self, *arguments: str) -> None:
        self.run("systemctl", "--user", *arguments)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ollama_lives_through_all_that_happens_to_our_unit(booted: Booted) -> None:
    account, port, own = Account(booted), free_port(), free_port()
    data = f"{HOME}/.local/share/Aura/AuraData"
    account.run("mkdir", "-p", data, f"{HOME}/.config/autostart")
    # Root's cache may be closed to others.
    booted.run("cp", "-r", require(ollama).executable.parent, f"{HOME}/ollama")
    booted.write(
        f"{data}/settings.json",
        json.dumps({"ollamaUrl": f"http://127.0.0.1:{port}", "ollamaExecutablePath": f"{HOME}/ollama/ollama"}),
    )
    booted.write(f"{data}/ollama-sidecar.json", json.dumps({"stopOnTerminate": True}))

    entry = f"{HOME}/.config/autostart/aura-ollama.desktop"
    booted.write(entry, "[Desktop Entry]\nType=Application\nExec=/bin/true\n")
    assert "The tray starts at login" in account.refused("service", "install")
    booted.run("rm", entry)
    account.run(
        "systemd-run",
        "--user",
        f"--setenv=PYTHONPATH={CHECKOUT}",
        "--unit=other",
        sys.executable,
        "-P",
        "-m",
        "api",
        "--port",
        str(free_port()),
    )
    note = f"{data}/run/sidecar.json"
    until(lambda: booted.call("test", "-e", note).returncode == 0)
    assert "serves " in (words := account.refused("service", "install"))
    assert "and is not this service" in words
    account.ctl("stop", "other.service")

    assert not account.aura("service", "status")["installed"]
    said = account.aura("service", "install", "--port", str(own))
    assert (said["enabled"], said["running"], said["lingers"], said["origin"]) == (True, True, True, "ours")
    # systemd says that it runs only once it has heard so.
    assert account.show("StatusText") == f"Listening on http://127.0.0.1:{own}"
    pid = account.aura("start")["pid"]

    def is_adopted() -> bool:
        status = account.aura("status")
        return (status["adopted"], status["pid"]) == (True, pid) and listens(port)

    account.aura("service", "install", "--port", str(own))
    assert account.show("MainPID") != str(said["pid"])
    until(is_adopted)

    account.ctl("stop", texts.UNIT)
    assert listens(port)
    account.ctl("start", texts.UNIT)
    until(is_adopted)

    booted.write(f"{PLACE}.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    account.ctl("daemon-reload")
    account.ctl("restart", texts.UNIT)
    hung = account.show("MainPID")
    account.run("kill", "-STOP", hung)
    until(lambda: account.show("NRestarts") == "1" and account.show("ActiveState") == "active")
    assert account.show("MainPID") != hung
    until(is_adopted)

    text = booted.run("cat", PLACE)
    booted.write(PLACE, text + "Nice=5\n")
    for action in ("install", "uninstall"):
        assert "changed by somebody since" in account.refused("service", action)
    assert booted.run("cat", PLACE) == text + "Nice=5\n"
    booted.write(PLACE, "[Service]\nExecStart=/bin/true\n")
    assert "was not written by" in account.refused("service", "install")
    booted.write(PLACE, text)

    assert account.aura("service", "uninstall")["removed"]
    assert booted.call("test", "-e", PLACE).returncode != 0
    assert account.show("LoadState") in ("not-found", "masked")
    assert listens(port)
    assert not listens(own)
    assert not account.aura("service", "uninstall")["removed"]
    booted.run("kill", str(pid))
    until(lambda: not listens(port))
