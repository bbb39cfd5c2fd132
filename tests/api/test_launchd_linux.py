"""A running sidecar whose `owner` is a job of launchd, with a real Ollama, against the stand-in for launchctl."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from core.platform import launchd
from tests.beds import launchd as bed
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import STOP_DEADLINE, Sidecar
from tests.beds.wire import JsonObject, call, listens
from tests.core.owners.test_launchd_linux import LABEL, Mac
from tests.core.owners.test_launchd_linux import mac as mac

pytestmark = pytest.mark.timeout(120)  # sidecars, and each call of the stand-in, are Pythons of their own

OWNER = f"launchd:{LABEL}"
DEADLINE = 20.0
SECRET = "sesame-open"


class Served:
    """A sidecar for that Mac. A context manager; its end is that of the sidecar, and Ollama's is launchd's."""

    def __init__(self, mac: Mac, **settings: object) -> None:
        self._sidecar = Sidecar(
            mac.paths.root,
            executable=require(ollama).executable,
            models=mac.paths.root / "models",
            ollama_port=mac.port,
            settings={"stopOnTerminate": True, **settings},
            program=(sys.executable, "-m", "tests.beds.as_mac", "api"),
        )

    def __enter__(self) -> Served:
        self._sidecar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._sidecar.process, STOP_DEADLINE)

    def ask(self, method: str, path: str, body: JsonObject | None = None) -> Any:
        headers = {"X-Aura-Token": (self._sidecar.root / "AuraData" / "run" / "token").read_text().strip()}
        return call(method, f"{self._sidecar.url}/api/ollama/{path}", body, timeout=60, headers=headers).json

    def until(self, holds: Callable[[Any], bool], path: str = "status") -> Any:
        """The first answer that fits; AssertionError with the last one."""
        deadline = time.monotonic() + DEADLINE
        while not holds(found := self.ask("GET", path)):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def until_state(self, state: str) -> Any:
        return self.until(lambda status: status["state"] == state)


def logs(mac: Mac) -> list[str]:
    """What is in the log of each run, in their order."""
    return [place.read_text() for place in sorted(mac.paths.logs_of("default").iterdir())]


def starts(mac: Mac) -> int:
    """How many starts of Ollama's are in its logs."""
    return "".join(logs(mac)).count("Listening on")


def test_a_job_is_started_followed_and_stopped_and_outlives_the_sidecar(mac: Mac) -> None:
    secret = {"HTTPS_PROXY": f"http://ada:{SECRET}@127.0.0.1:9"}
    mac.write(env=secret, KeepAlive={"Crashed": True}, RunAtLoad=True)
    with Served(mac, owner=OWNER) as served:
        stopped = served.until_state("stopped")
        assert (stopped["controlledBy"], stopped["managedByApp"], stopped["reason"]) == (OWNER, False, None)
        started = served.ask("POST", "start")
        assert started["success"], started
        status = served.ask("GET", "status")
        assert (status["state"], status["managedByApp"], status["pid"]) == ("running", True, started["pid"])
        job = launchd.job(mac.target())
        assert job
        assert job.pid == started["pid"]

        psutil.Process(started["pid"]).kill()
        again = served.until(lambda status: status["state"] == "running" and status["pid"] != started["pid"])
        assert again["managedByApp"]
        job = launchd.job(mac.target())
        assert job
        assert (job.pid, job.runs) == (again["pid"], 2)
        served.until(lambda _: starts(mac) == 2)

        assert served.ask("POST", "stop")["success"]
        assert served.ask("GET", "status")["state"] == "stopped"
        assert launchd.job(mac.target()) is None
        assert not listens(mac.port)
        # What is loaded anew begins to count its runs anew, and is copied all the same.
        pid = served.ask("POST", "start")["pid"]
        served.until(lambda _: starts(mac) == 3)

    # Ollama prints its variables, and the copy has none that are secret.
    assert SECRET in mac.output.read_text()
    assert SECRET not in "".join(logs(mac))
    assert "".join(logs(mac)).count("HTTPS_PROXY:http://***@127.0.0.1:9") == 3
    assert listens(mac.port)
    with Served(mac, owner=OWNER) as served:
        found = served.until_state("running")
        assert (found["pid"], found["managedByApp"]) == (pid, True)
        launchd.bootout(mac.target())
        served.until_state("stopped")


def test_what_launchd_does_not_mend_is_told_and_what_was_edited_counts_at_the_next_start(mac: Mac) -> None:
    plist = mac.write()
    with Served(mac, owner=OWNER) as served:
        pid = served.ask("POST", "start")["pid"]
        psutil.Process(pid).kill()
        assert served.until_state("failed")["reason"] == "Ollama was ended by SIGKILL"
        assert served.ask("POST", "start")["pid"] != pid

        plist.write_bytes(plist.read_bytes().replace(f":{mac.port}<".encode(), b":1<"))
        # What is loaded keeps the variables that it was loaded with.
        assert served.ask("GET", "status")["state"] == "running"
        assert served.ask("POST", "stop")["success"]
        refused = served.ask("POST", "start")
        assert not refused["success"]
        assert "listens at http://127.0.0.1:1" in refused["message"]


def test_what_only_an_administrator_may_stop_runs_on_and_says_so(mac: Mac) -> None:
    launchd.bootstrap("system", str(mac.write(RunAtLoad=True)))
    with Served(mac, owner=OWNER) as served:
        running = served.until_state("running")
        refused = served.ask("POST", "stop")
        assert not refused["success"]
        assert "only an administrator may start and stop" in refused["message"]
        assert served.ask("GET", "status")["pid"] == running["pid"]
        assert listens(mac.port)


def test_nobody_need_be_at_the_screen_and_one_that_is_disabled_is_not_started(mac: Mac) -> None:
    mac.write(RunAtLoad=True)
    session, user, _ = launchd.domains()
    with Served(mac, owner=OWNER) as served:
        (mac.launchctl / bed.NO_DOMAINS).write_text(session)
        assert served.ask("POST", "start")["success"]
        assert launchd.job(f"{user}/{LABEL}") is not None
        assert served.ask("POST", "stop")["success"]

        (mac.launchctl / bed.NO_DOMAINS).write_text("")
        (mac.launchctl / bed.DISABLED).write_text(mac.target())
        refused = served.ask("POST", "start")
        assert not refused["success"]
        assert f"launchctl enable {mac.target()}" in json.dumps(refused)
        assert launchd.job(mac.target()) is None
        # What keeps it from a start is asked anew by the next one.
        (mac.launchctl / bed.DISABLED).write_text("")
        mended = served.ask("POST", "start")
        assert mended["success"], mended


def test_one_that_is_external_is_offered_and_controlled_and_let_go_again(mac: Mac) -> None:
    launchd.bootstrap(launchd.domains()[0], str(mac.write(RunAtLoad=True)))
    with Served(mac) as served:
        external = served.until_state("external")
        assert external["offer"] == OWNER
        assert external["owner"].startswith(f"launchd job {LABEL} (ollama (pid ")
        refused = served.ask("POST", "stop")
        assert f"launchctl bootout {mac.target()}" in json.dumps(refused)
        served.ask("PUT", "settings", {"changes": {"owner": external["offer"]}})
        controlled = served.until_state("running")
        assert (controlled["managedByApp"], controlled["controlledBy"]) == (True, OWNER)
        assert controlled["pid"] == external["pid"]
        served.ask("PUT", "settings", {"changes": {"owner": "process"}})
        assert served.until_state("external")["pid"] == external["pid"]
