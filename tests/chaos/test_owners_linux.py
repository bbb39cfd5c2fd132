"""A service of systemd, and SIGKILL of the sidecar, the service or the bus at any time: what is left agrees again."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from tests.beds.serviced import Serviced
from tests.beds.systemd import Booted
from tests.chaos.conftest import Chance
from tests.core.owners.test_systemd_linux import OWNER, UNIT, Unit, marks

VICTIMS = ("sidecar", "service", "ollama", "bus", "systemd")


@pytest.mark.timeout(0)  # as many rounds as were asked for, each with deadlines of its own
def test_after_any_kill_around_a_service_all_agrees_and_no_line_is_lost(
    chance: Chance, booted: Booted, tmp_path: Path
) -> None:
    unit = Unit(booted, tmp_path)
    unit.write("Restart=always", "RestartSec=0.3", "StartLimitIntervalSec=0")
    expected: list[str] = []
    sidecar = Serviced(booted, tmp_path, unit.url, owner=OWNER)
    try:
        sidecar.__enter__()
        assert sidecar.ask("POST", "/api/ollama/start")["success"]
        # Each at least once.
        order = chance.random.sample(VICTIMS, len(VICTIMS))
        order += chance.random.choices(VICTIMS, k=max(0, chance.rounds // 20 - len(VICTIMS)))
        for number, victim in enumerate(order):
            print(f"round {number}: {victim}")
            expected.append(f"round{number}")
            unit.chat(expected[-1])
            match victim:
                case "sidecar":
                    sidecar.end(signal.Signals(9))
                    sidecar = Serviced(booted, tmp_path, unit.url, owner=OWNER)
                    sidecar.__enter__()
                case "service":
                    unit.ctl("kill", "--signal=KILL", UNIT)
                case "ollama":
                    unit.ctl("kill", "--signal=KILL", "--kill-who=main", UNIT)
                case "bus":
                    booted.call("pkill", "-KILL", "-x", "dbus-daemon")
                    booted.call("systemctl", "restart", "dbus.socket", "dbus.service")
                case _:
                    unit.ctl("daemon-reexec")
            pid = 0

            def agrees(status: dict[str, object], unit: Unit = unit) -> bool:
                nonlocal pid
                pid = int(unit.show("MainPID"))
                up = status["state"] == "running" and status["error"] is None and status["reason"] is None
                return up and status["pid"] == pid and bool(status["managedByApp"])

            sidecar.until("/api/ollama/status", agrees, 40)
            lines = sidecar.until(
                "/api/ollama/logs?maxLines=5000", lambda answer: expected[-1] in marks(answer["logs"]), 40
            )["logs"]
            assert [mark for mark in marks(lines) if mark.startswith("round")] == expected
        assert sidecar.ask("POST", "/api/ollama/stop")["success"]
        assert unit.show("ActiveState") == "inactive"
    finally:
        with contextlib.suppress(Exception):
            sidecar.end(signal.SIGTERM)
        booted.call("systemctl", "stop", UNIT)
        booted.call("sh", "-c", f"rm -f {unit.place}")
        booted.call("systemctl", "daemon-reload")
