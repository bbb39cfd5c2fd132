"""A member of Ollama's tree that no kill ends: nobody says that it has stopped before it has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.beds.sidecar import Sidecar
from tests.beds.wire import JsonObject, call, free_port
from tests.rig import lives
from tests.security.another_user import NOBODY, require_root

if sys.platform == "win32":
    raise ImportError("These users are POSIX's")

pytestmark = pytest.mark.timeout(60)  # stops that fail take their time
DEADLINE = 15.0
MOST_A_REFUSAL_TAKES = 4.0
AS_NOBODY = ("/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# With the set-user-ID bit, run by another user, it becomes root's for good, so that nobody else may signal it.
ROOTS_OWN = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
    setresgid(0, 0, 0);
    setresuid(0, 0, 0);
    signal(SIGTERM, SIG_IGN);
    FILE *file = fopen(words[1], "w");
    fprintf(file, "%d", getpid());
    fclose(file);
    for (;;) pause();
}
"""


class Place:
    """A sidecar of user `nobody`, whose Ollama has started a process of root's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pid_file = root / "pid"
        self._pid_file.touch()
        self._member: psutil.Process | None = None
        self._port = free_port()
        self._executable = self._ollama()
        self._sidecar = self._new_sidecar()
        self._record = root / "AuraData/run/default.json"
        for path in [root, *root.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        # A change of owner takes the bit away.
        os.chown(self._program, 0, 0)
        self._program.chmod(0o4755)

    def _new_sidecar(self) -> Sidecar:
        return Sidecar(
            self.root,
            executable=self._executable,
            models=self.root,
            ollama_port=self._port,
            settings={"stopTimeout": 1.0},
            program=[*AS_NOBODY, sys.executable, "-B", "-m", "api"],
        )

    def _ollama(self) -> Path:
        """A stand-in that first starts, detached from itself, a program that makes itself root's."""
        self._program = self.root / "roots-own"
        source = self.root / "roots-own.c"
        source.write_text(ROOTS_OWN)
        subprocess.run(["gcc", "-o", str(self._program), str(source)], check=True)
        ollama = fake_ollama.install(self.root / "bin")
        wrapper = self.root / "ollama"
        wrapper.write_text(
            f'#!/bin/sh\n({self._program} {self._pid_file} </dev/null >/dev/null 2>&1 &)\nexec {ollama} "$@"\n'
        )
        wrapper.chmod(0o755)
        return wrapper

    def start(self) -> None:
        """Have the sidecar up, and its Ollama."""
        self._sidecar.__enter__()
        answer = self.post("start")
        assert answer["success"], answer
        wait_until(lambda: self._pid_file.read_text(), "the process of root's")
        self._member = psutil.Process(int(self._pid_file.read_text()))
        assert self.member.uids().effective == 0

    @property
    def member(self) -> psutil.Process:
        """The one that only root can end."""
        assert self._member is not None
        return self._member

    def post(self, what: str) -> JsonObject:
        """What the sidecar answers."""
        return call("POST", f"{self._sidecar.url}/api/ollama/{what}", timeout=40).json

    def status(self) -> JsonObject:
        """What the sidecar says."""
        return call("GET", f"{self._sidecar.url}/api/ollama/status").json

    def record(self) -> dict[str, object]:
        """The run record."""
        found: dict[str, object] = json.loads(self._record.read_text())
        return found

    def log(self) -> str:
        """The newest log."""
        return max(self.root.glob("AuraData/logs/ollama/*.log")).read_text()

    def shim(self) -> psutil.Process:
        """The shim."""
        return psutil.Process(int(str(self.record()["shimPid"])))

    def restart_sidecar(self) -> None:
        """Kill it, and have the next one up, which finds what this one left."""
        self._sidecar.process.kill()
        self._sidecar.process.wait(DEADLINE)
        self._sidecar = self._new_sidecar()
        self._sidecar.__enter__()

    def end_member(self) -> None:
        """End the one that only root can end."""
        if self._member and lives(self._member):
            self._member.kill()

    def close(self) -> None:
        """Leave nothing."""
        self.end_member()
        self._sidecar.stop()


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def place() -> Iterator[Place]:
    """A place that user `nobody` can reach."""
    require_root()
    root = Path("/tmp") / f"aura-unkillable-{os.getpid()}"
    root.mkdir(mode=0o755)
    try:
        place = Place(root)
        try:
            place.start()
            yield place
        finally:
            place.close()
    finally:
        shutil.rmtree(root)


def test_a_stop_that_leaves_one_behind_fails_and_names_it_and_its_end_is_told(place: Place) -> None:
    shim = place.shim()
    answer = place.post("stop")
    assert (answer["success"], answer["code"]) == (False, "stop_failed")
    assert f"pid {place.member.pid} (roots-own, of root" in str(answer["message"])
    assert place.record()["endedAt"] is None
    assert place.record()["unkillable"] == [place.member.pid]
    assert lives(shim)
    assert f"Not even a kill ends pid {place.member.pid}" in place.log()
    assert "Ollama stopped" not in place.log()

    place.end_member()
    wait_until(lambda: place.status()["state"] == "stopped", "stopped")
    assert (place.record()["reason"], place.record()["unkillable"]) == ("stopped", [])
    assert "Ollama stopped" in place.log()
    wait_until(lambda: not lives(shim), "the shim's end")


@pytest.mark.parametrize("who", ["shim", "shim and guard"])
def test_without_its_shim_too_nobody_says_that_all_has_ended(place: Place, who: str) -> None:
    shim = place.shim()
    guards = [child for child in shim.children() if "core.shim" in child.cmdline()]
    assert len(guards) == 1
    for process in [shim, *guards] if who != "shim" else [shim]:
        process.send_signal(signal.SIGKILL)
    pid = place.member.pid
    if who == "shim":
        wait_until(lambda: place.record().get("unkillable") == [pid], "what the guard says")
        assert lives(guards[0])
    answer = place.post("stop")
    assert (answer["success"], answer["code"]) == (False, "stop_failed")
    assert f"pid {pid} (roots-own" in str(answer["message"])
    assert place.record()["endedAt"] is None

    place.end_member()
    wait_until(lambda: place.record()["endedAt"], "the end in the record")
    wait_until(lambda: place.status()["state"] in ("stopped", "failed"), "the end in the status")
    assert place.record()["reason"] == "shim killed"


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_what_outlives_its_ollama_is_named_at_once_by_each_sidecar(place: Place, how: str) -> None:
    """A start does not wait for it, and its end is told as what it is."""
    pid = place.member.pid
    named = f"pid {pid} (roots-own, of root"
    if how == "stop":
        assert place.post("stop")["code"] == "stop_failed"
    else:
        psutil.Process(int(str(place.record()["pid"]))).kill()
    wait_until(lambda: named in str(place.status()["reason"]), "the reason")
    for _ in range(2):
        began = time.monotonic()
        answer = place.post("start")
        assert time.monotonic() - began < MOST_A_REFUSAL_TAKES
        assert (answer["success"], answer["code"]) == (False, "not_answering")
        assert named in str(answer["message"])
        place.restart_sidecar()
        wait_until(lambda: named in str(place.status()["reason"]), "the reason after a restart")
    place.end_member()
    wait_until(lambda: place.status()["state"] != "running", "the end")
    status = place.status()
    assert (status["state"], place.record()["reason"]) == (
        ("stopped", "stopped") if how == "stop" else ("failed", "exited")
    )
    assert status["reason"] is None if how == "stop" else "SIGKILL" in str(status["reason"])
