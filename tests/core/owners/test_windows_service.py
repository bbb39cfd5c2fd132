"""The owner `windows-service:NAME`: a real service of a real service control manager, with a real Ollama in it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import SpawnFailed
from core.ollama.listener import describe
from core.owners.exit import Sequel
from core.owners.services import windows
from core.owners.services.manager import ServiceFailed
from core.platform import service_control
from core.settings.paths import Paths
from tests import tied
from tests.beds import service_windows
from tests.beds.ending import end
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import STOP_DEADLINE, Sidecar
from tests.beds.wire import call, free_port, listens
from tests.core.owners.test_launchd_linux import DEADLINE, attended, soon, until
from tests.core.owners.test_shim_start import plan_for

pytestmark = pytest.mark.timeout(120)  # a service starts a Python, and that an Ollama
NAME = "AuraTestOllama"


@pytest.mark.parametrize(
    ("number", "words"),
    [(5, "access denied"), (1060, "does not exist"), (1058, "is disabled"), (1234, "failed: ")],
)
def test_a_refusal_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    error = OSError("text")
    error.winerror = number  # type: ignore[attr-defined, unused-ignore]

    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(service_control, "start", refuse)
    with pytest.raises(ServiceFailed, match=words) as failure:
        windows.WindowsService("Ollama").start()
    if number == 5:
        assert failure.value.action
        assert "Run as administrator" in failure.value.action


def test_a_service_that_is_starting_is_stopped_once_it_takes_the_word(monkeypatch: pytest.MonkeyPatch) -> None:
    not_now = OSError("text")
    not_now.winerror = service_control.NOT_NOW  # type: ignore[attr-defined, unused-ignore]
    asked: list[str] = []

    def stop(name: str) -> None:
        asked.append(name)
        if len(asked) < 3:
            raise not_now

    monkeypatch.setattr(service_control, "stop", stop)
    monkeypatch.setattr(service_control, "query", lambda name: service_control.Service(1, None, 0, restarts=False))
    windows.WindowsService("Ollama").stop()
    assert asked == ["Ollama"] * 3


@pytest.mark.parametrize(
    ("found", "pid", "will_restart", "is_down"),
    [
        (service_control.Service(4, 7, 0, restarts=False), 7, False, False),
        (service_control.Service(1, None, 0, restarts=True), None, False, True),
        (service_control.Service(1, None, 1067, restarts=True), None, True, False),
        (service_control.Service(1, None, 1067, restarts=False), None, False, False),
    ],
)
def test_what_the_manager_shows_says_what_comes_next(
    monkeypatch: pytest.MonkeyPatch,
    found: service_control.Service,
    pid: int | None,
    *,
    will_restart: bool,
    is_down: bool,
) -> None:
    monkeypatch.setattr(service_control, "query", lambda name: found)
    seen = windows.WindowsService("Ollama").look()
    assert (seen.pid, seen.will_restart, seen.is_down) == (pid, will_restart, is_down)


if sys.platform == "win32":

    @pytest.fixture
    async def port(tmp_path: Path) -> AsyncIterator[int]:
        """The port of the service's Ollama, which does not run yet."""
        port = free_port()
        service_windows.make(require(ollama).executable, f"127.0.0.1:{port}", tmp_path)
        yield port
        service_control.stop(NAME)
        await until(lambda: service_control.query(NAME).state == 1)
        service_windows.remove()

    async def test_a_service_is_started_and_stopped(tmp_path: Path, port: int) -> None:
        Paths(tmp_path).data.mkdir()
        owner = windows.make(Paths(tmp_path), f"windows-service:{NAME}")
        plan = replace(plan_for(tmp_path / "plan"), url=f"http://127.0.0.1:{port}", port=port)
        with pytest.raises(SpawnFailed, match="listens at"):
            await owner.check(replace(plan, url="http://127.0.0.1:1"))
        for _ in range(2):
            running = await owner.start(plan)
            ended = asyncio.create_task(running.ended())
            await until(lambda: listens(port))
            assert await running.lives()
            child = psutil.Process(running.pid).children()[0]
            assert await asyncio.to_thread(running.owns, child.pid)
            assert (await owner.start(plan)).pid == running.pid
            await running.stop()
            async with asyncio.timeout(DEADLINE * tied.SLOWER):
                assert (await ended).reason == "stopped"
            assert not listens(port)

    async def test_one_that_runs_is_found_and_its_stop_and_crash_are_told_apart(tmp_path: Path, port: int) -> None:
        Paths(tmp_path).data.mkdir()
        owner = windows.make(Paths(tmp_path), f"windows-service:{NAME}")
        async with attended(owner) as heard:
            for sequel in (Sequel.STOPPED, Sequel.LEFT):
                service_control.start(NAME)
                running = await soon(heard.runs)
                ended = asyncio.create_task(running.ended())
                await until(lambda: listens(port))
                if sequel is Sequel.STOPPED:
                    service_control.stop(NAME)
                else:
                    psutil.Process(running.pid).children()[0].kill()
                async with asyncio.timeout(DEADLINE * tied.SLOWER):
                    assert (await ended).sequel is sequel

    async def test_one_that_runs_is_offered_and_what_is_beside_it_is_not(port: int) -> None:
        await asyncio.to_thread(service_control.start, NAME)
        await until(lambda: listens(port))
        pid = service_control.query(NAME).pid or 0
        (child,) = psutil.Process(pid).children()
        found = await asyncio.to_thread(describe, child.pid, port)
        assert found.offer == f"windows-service:{NAME}"
        assert found.owner.startswith(f"Windows service {NAME} (")
        assert f"sc.exe stop {NAME}" in found.by_hand
        for other in (pid, os.getpid()):
            assert (await asyncio.to_thread(describe, other, port)).offer is None

    def test_a_running_sidecar_controls_a_service_and_leaves_it_running(tmp_path: Path) -> None:
        port = free_port()
        executable = require(ollama).executable
        service_windows.make(executable, f"127.0.0.1:{port}", tmp_path)
        sidecar = Sidecar(
            tmp_path,
            executable=executable,
            models=tmp_path / "models",
            ollama_port=port,
            settings={"owner": f"windows-service:{NAME}", "stopOnTerminate": True},
        )

        def ask(method: str, path: str) -> dict[str, Any]:
            token = (tmp_path / "AuraData" / "run" / "token").read_text().strip()
            url = f"{sidecar.url}/api/ollama/{path}"
            return call(method, url, timeout=60, headers={"X-Aura-Token": token}).json

        def until_state(state: str) -> dict[str, Any]:
            deadline = time.monotonic() + DEADLINE * tied.SLOWER
            while (status := ask("GET", "status"))["state"] != state:
                assert time.monotonic() < deadline, status
                time.sleep(0.1)
            return status

        try:
            sidecar.__enter__()
            assert until_state("stopped")["controlledBy"] == f"windows-service:{NAME}"
            started = ask("POST", "start")
            assert started["success"], started
            running = until_state("running")
            assert (running["pid"], running["managedByApp"]) == (service_control.query(NAME).pid, True)
            assert ask("POST", "stop")["success"]
            assert (service_control.query(NAME).state, listens(port)) == (1, False)
            pid = ask("POST", "start")["pid"]
            # Its wrapper says that this was a crash, and its recovery names no restart.
            psutil.Process(pid).children()[0].kill()
            assert "1067" in str(until_state("failed")["reason"])
            ask("POST", "start")
            until_state("running")
            end(sidecar.process, STOP_DEADLINE)
            assert service_control.query(NAME).state == 4
            assert listens(port)
        finally:
            end(sidecar.process, STOP_DEADLINE)
            service_control.stop(NAME)
            deadline = time.monotonic() + DEADLINE * tied.SLOWER
            while service_control.query(NAME).state != 1 and time.monotonic() < deadline:
                time.sleep(0.1)
            service_windows.remove()

    async def test_a_service_that_nobody_has_is_refused_in_words(tmp_path: Path) -> None:
        owner = windows.make(Paths(tmp_path), "windows-service:AuraNobody")
        with pytest.raises(SpawnFailed, match="does not exist"):
            await owner.check(plan_for(tmp_path))
