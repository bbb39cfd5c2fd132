"""A real systemd that hangs, or takes its time, in the midst of what it was asked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.beds.serviced import Serviced
from tests.beds.systemd import Booted
from tests.core.owners.test_systemd_linux import OWNER, UNIT, Unit
from tests.core.owners.test_systemd_linux import unit as unit

pytestmark = pytest.mark.timeout(120)  # the first test boots a system, and a call to one that hangs has 5 s


def test_a_start_right_after_a_stop_by_hand_starts_it(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        for _ in range(3):
            unit.ctl("stop", UNIT)
            started = sidecar.ask("POST", "/api/ollama/start")
            assert started.get("pid") == int(unit.show("MainPID")), started


def test_one_that_ends_while_systemd_hangs_has_no_pid_and_a_start_says_what_hangs(unit: Unit, tmp_path: Path) -> None:
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar:
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        main = unit.show("MainPID")
        with hanging(unit.booted):
            unit.booted.run("kill", "-9", main)
            sidecar.until("/api/ollama/status", lambda now: (now["state"], now["pid"]) == ("running", None))
            refused = sidecar.ask("POST", "/api/ollama/start")
            assert f"(pid {main}) has ended, and {OWNER} does not tell" in refused["detail"], refused
            assert "systemd does not answer" in refused["action"], refused
        assert "SIGKILL" in sidecar.until_state("failed")["reason"]


@contextmanager
def hanging(booted: Booted) -> Iterator[None]:
    """Have its systemd hang meanwhile."""
    init = psutil.Process(booted.init)
    init.suspend()
    try:
        yield
    finally:
        init.resume()


def test_a_stop_in_the_midst_of_a_start_ends_that_or_says_that_nothing_is_known(unit: Unit, tmp_path: Path) -> None:
    # Its program does not begin before that has ended, and so systemd's job has not either.
    unit.write("ExecStartPre=/bin/sleep 300", "TimeoutStartSec=400")
    with Serviced(unit.booted, tmp_path, unit.url, owner=OWNER) as sidecar, ThreadPoolExecutor() as threads:
        sidecar.until_state("stopped")
        starting = threads.submit(sidecar.ask, "POST", "/api/ollama/start")
        sidecar.until("/api/ollama/status", lambda _: unit.show("ActiveState") == "activating")
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert unit.show("MainPID") == unit.show("ControlPID") == "0"
        assert starting.result()["code"] == "superseded"
        starting = threads.submit(sidecar.ask, "POST", "/api/ollama/start")
        sidecar.until("/api/ollama/status", lambda _: unit.show("ActiveState") == "activating")
        with hanging(unit.booted):
            stopped = sidecar.ask("POST", "/api/ollama/stop")
            assert (stopped["code"], "does not answer" in stopped["detail"]) == ("stop_failed", True), stopped
            assert starting.result()["code"] == "superseded"
            assert sidecar.status()["state"] == "failed"
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert unit.show("MainPID") == unit.show("ControlPID") == "0"
        assert sidecar.status()["state"] == "stopped"
