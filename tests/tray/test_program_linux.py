"""The real program on a real session bus and screen, with the real Ollama: seen and clicked as a person would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests import fake_ollama
from tests.beds.desktop import Tray, session_bus
from tests.beds.hanging_disk import HangingDisk
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.server import OllamaServer
from tests.beds.stranger import models, stranger
from tests.beds.wire import call
from tests.rig import Rig, gone
from tests.tray.program import Desk, Program, desktop, running, until_entry, until_look, wait_for

assert sys.platform == "linux"

pytestmark = pytest.mark.timeout(40)  # a program with GTK starts several times, on two busy cores


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desktop of our own."""
    async with desktop() as found:
        yield found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


async def test_the_walk_of_a_user_through_the_menu(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await until_look(tray, "down")
        await until_entry(tray, "Ollama is not running")
        await tray.click("Start Ollama")
        assert f"answers at {rig.url}" in (await desk.host.toast("Ollama Started")).text
        await until_look(tray, "up")
        await until_entry(tray, "Ollama 0.9.3 is running")
        assert (await tray.menu()).find("Stop Ollama").enabled

        psutil.Process(rig.record.pid).kill()
        assert "was ended by SIGKILL" in (await desk.host.toast("Ollama Crashed")).text
        await until_look(tray, "failed")

        await tray.click("Start Ollama")
        await desk.host.toast("Ollama Started")
        await rig.generate()
        await until_entry(tray, "Models", "● tiny:latest: 459.04 KB")
        await tray.click("Models", "● tiny:latest", "Unload from memory")
        await until_entry(tray, "Models", "tiny:latest: 459.04 KB")

        family = rig.family()
        await tray.click("Stop Ollama")
        await desk.host.toast("Ollama Stopped")
        await until_look(tray, "down")
        assert await gone(family, within=0.5) == []

        await tray.click("Start Ollama")
        await until_look(tray, "up")
        family = rig.family()
        await until_entry(tray, "Quit")
        await tray.click("Quit")
        assert await program.ended(within=8) == 0, program.said
        assert await gone(family, within=0.5) == []
        assert not rig.is_listening


async def test_quitting_during_a_generation_says_so_first(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_look(tray, "up")
        body = {
            "model": "tiny",
            "prompt": "x",
            "raw": True,
            "options": {"num_predict": 40000, "num_ctx": 2048, "num_thread": 1},
        }
        generating = threading.Thread(target=lambda: _ignore_end(f"{rig.url}/api/generate", body))
        generating.start()
        await until_entry(tray, "Models", "● tiny:latest")
        await tray.click("Quit")
        await desk.host.toast("Ollama is at work")
        assert rig.is_listening
        await tray.click("Quit")
        assert await program.ended(within=8) == 0
        await asyncio.to_thread(generating.join)
        assert not rig.is_listening


def _ignore_end(url: str, body: dict[str, object]) -> None:
    try:
        call("POST", url, body, timeout=60)
    except (OSError, Exception):
        return


async def test_a_crash_of_the_tray_leaves_ollama_to_the_next_one(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_look(tray, "up")
        pid = rig.record.pid
        program.process.kill()
        await program.ended(within=5)
    assert rig.is_listening
    async with running(rig, desk) as (_, tray):
        assert f"pid {pid}" in (await desk.host.toast("Ollama Was Still Running")).text
        await until_look(tray, "up")
        assert rig.record.pid == pid
    assert not rig.is_listening


@pytest.mark.parametrize(
    ("number", "settings", "within", "lives_on"),
    [
        (signal.SIGINT, {}, 8.0, False),
        (signal.SIGINT, {"stopOnQuit": False}, 8.0, True),
        (signal.SIGTERM, {}, 3.5, True),
        (signal.SIGTERM, {"stopOnTerminate": True}, 3.5, False),
        (signal.SIGHUP, {"stopOnTerminate": True}, 3.5, False),
    ],
)
async def test_a_signal_ends_it_while_the_toolkit_has_the_main_thread_and_the_settings_say_whether_ollama_too(
    rig: Rig, desk: Desk, number: signal.Signals, settings: Mapping[str, object], within: float, *, lives_on: bool
) -> None:
    rig.configure(executable=None, **settings)
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_look(tray, "up")
        program.process.send_signal(number)
        assert await program.ended(within) == 0
        await wait_for(lambda: rig.is_listening is lives_on, within=1.0)
    if lives_on:
        rig.configure(stopOnQuit=True)
        async with running(rig, desk) as (_, tray):
            await until_look(tray, "up")
        assert not rig.is_listening


async def test_signals_repeated_to_its_very_end_leave_the_end_in_order(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await until_look(tray, "down")
        deadline = time.monotonic() + 8
        while program.process.poll() is None and time.monotonic() < deadline:
            program.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.001)
        assert program.process.poll() == 0, program.said


async def test_a_second_instance_has_the_first_show_itself(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (first, _):
        await first.url()
        second = Program(rig, desk.env)
        assert await second.ended(within=8) == 0, second.said
        assert "not running" in (await desk.host.toast("Aura Ollama")).text
        assert first.process.poll() is None


async def test_the_icon_tells_the_truth_while_the_log_folder_hangs(rig: Rig, desk: Desk) -> None:
    disk = require(lambda: HangingDisk(rig.root, rig.paths.logs))
    desk.env.update(disk.environment)
    disk.hang()
    async with running(rig, desk) as (program, tray):
        await until_look(tray, "down")
        await program.url()
        with OllamaServer(rig.root / "theirs", executable=rig.executable, port=rig.port):
            await until_look(tray, "external")
            await until_entry(tray, "Another program's Ollama 0.9.3 is running")
        await until_look(tray, "down")
        await until_entry(tray, "Open", "Newest log (none yet)")
        rig.paths.logs.mkdir(parents=True)
        (rig.paths.logs / "ollama-20240101-000000.log").write_text("x\n")
        disk.heal()
        with OllamaServer(rig.root / "theirs", executable=rig.executable, port=rig.port):
            await until_look(tray, "external")
            await until_entry(tray, "Open", "Newest log")
        disk.hang()
        program.process.send_signal(signal.SIGINT)
        assert await program.ended(within=8) == 0


async def test_preferences_are_kept_where_they_belong(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await until_entry(tray, "Start Ollama with this program")
        await tray.click("Start Ollama with this program")
        await wait_for(lambda: json.loads(rig.paths.sidecar.read_text()).get("startOnLaunch") is True)
        await until_mark(tray, "Start Ollama with this program", wanted=True)
        # It shows what the file says, whoever writes it, once that is read again.
        rig.configure(startOnLaunch=False)
        async with asyncio.timeout(10):
            while (await tray.menu()).find("Start Ollama with this program").checked:
                await asyncio.to_thread(call, "GET", f"{await program.url()}/api/ollama/status")
        await tray.click("Start this program at login")
        entry = rig.root / "config" / "autostart" / "aura-ollama.desktop"
        await wait_for(entry.exists)
        assert str(Path(sys.executable).parent) in entry.read_text()
        await until_mark(tray, "Start this program at login", wanted=True)
        await tray.click("Start this program at login")
        await wait_for(lambda: not entry.exists())


async def until_mark(tray: Tray, label: str, *, wanted: bool) -> None:
    """Return once that entry bears a mark, or none."""
    async with asyncio.timeout(10):
        while (await tray.menu()).find(label).checked is not wanted:
            await asyncio.sleep(0.02)


async def test_one_dialog_at_a_time_asks_for_the_executable_and_none_survives_quit(rig: Rig, desk: Desk) -> None:
    """The dialog is a stand-in: the real ones bring half a desktop along."""
    opened = rig.root / "opened"
    zenity = rig.root / "bin" / "zenity"
    zenity.parent.mkdir()
    zenity.write_text(f'#!/bin/sh\necho $$ >>"{opened}"\nexec sleep 60\n')
    zenity.chmod(0o755)
    desk.env["PATH"] = f"{zenity.parent}:{os.environ['PATH']}"
    async with running(rig, desk) as (program, tray):
        await until_entry(tray, "Choose Ollama's executable")
        await tray.click("Choose Ollama's executable")
        await wait_for(lambda: opened.exists() and opened.read_text().endswith("\n"))
        await tray.click("Choose Ollama's executable")
        assert (await desk.host.toast("Choose Ollama's Executable")).text == "The dialog is open already."
        (pid,) = opened.read_text().split()
        dialog = psutil.Process(int(pid))
        await tray.click("Quit")
        assert await program.ended(within=8) == 0, program.said
        assert await gone([dialog], within=1) == []


async def test_settings_that_break_while_it_runs_do_not_change_what_quit_does(rig: Rig, desk: Desk) -> None:
    """The last good ones stay in force: by default, Quit would stop Ollama."""
    rig.configure(executable=require(ollama).executable, stopOnQuit=False)
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_look(tray, "up")
        shim = psutil.Process(rig.record.shim_pid)
        rig.paths.sidecar.write_text("{")
        await tray.click("Quit")
        assert await program.ended(within=8) == 0
    assert rig.is_listening
    shim.terminate()
    assert await gone([shim], within=5) == []


async def test_a_refused_desktop_app_can_be_allowed_from_the_menu(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        url = await program.url()
        assert await asyncio.to_thread(_status_for_null, url) == 403
        await desk.host.toast("Aura Desktop Was Refused")
        await until_entry(tray, "Allow Aura desktop")
        await tray.click("Allow Aura desktop")
        async with asyncio.timeout(5):
            while await asyncio.to_thread(_status_for_null, url) != 200:
                await asyncio.sleep(0.02)


def _status_for_null(url: str) -> int:
    import http.client

    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/api/ollama/status", headers={"Origin": "null"})
    status = connection.getresponse().status
    connection.close()
    return status


async def test_without_a_tray_it_says_so_once_and_serves(rig: Rig, tmp_path: Path) -> None:
    with require(session_bus) as bus:
        # Nothing at all, a bus without a host, a screen that is not there.
        for env in ({}, {"DBUS_SESSION_BUS_ADDRESS": bus}, {"DISPLAY": ":9999"}):
            program = Program(rig, env)
            try:
                answer = await asyncio.to_thread(call, "GET", f"{await program.url()}/healthz")
                assert answer.status == 200
                assert program.said.count("Running without a tray.") == 1
            finally:
                await program.end()
            (tmp_path / "tray.txt").unlink()


async def test_the_ui_answers_while_the_loop_is_held_for_3_s(rig: Rig, desk: Desk) -> None:
    program = Program(rig, desk.env, script=Path(__file__).with_name("held_loop.py"))
    try:
        tray = await desk.host.tray()
        await until_look(tray, "down")
        await tray.click("About Aura Ollama")
        held = rig.root / "held"
        await wait_for(held.exists)
        began = time.monotonic()
        await tray.click("Show status")
        while held.exists() and time.monotonic() < began + 2.5:
            asked = time.monotonic()
            assert (await tray.menu()).find("Quit").enabled
            assert time.monotonic() - asked < 0.5
        assert time.monotonic() - began >= 2.5
        await desk.host.toast("Aura Ollama")
    finally:
        await program.end()


async def test_a_burst_of_500_changes_ends_in_the_last_with_few_paints(tmp_path: Path, desk: Desk) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    program = Program(rig, desk.env, script=Path(__file__).with_name("burst.py"))
    try:
        tray = await desk.host.tray()
        await wait_for(lambda: "shown" in program.said)
        await until_look(tray, "up")
        await until_entry(tray, "Ollama 500 is running")
        (line,) = [line for line in program.said.splitlines() if line.startswith("shown")]
        _, seconds = line.split()
        await wait_for(lambda: "paints" in program.said)
        paints = int(program.said.rpartition("paints ")[2].split()[0])
        assert paints <= float(seconds) / 0.1 + 3
    finally:
        program.process.terminate()
        await program.ended(within=5)


async def test_a_stranger_that_answers_without_measure_ends_neither_tray_nor_sidecar(
    tmp_path: Path, desk: Desk
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    long = b"9" * 309
    bodies = {
        "/api/version": b'{"version": "0.9.3%s"}' % (b" x" * 20_000),
        "/api/tags": b'{"models": [{"name": "%s", "size": %s}, {"name": "b", "size": 1}]}' % (long, long),
        "/api/ps": models(50_000),
    }
    with stranger(rig.port, bodies):
        async with running(rig, desk) as (program, tray):
            await until_look(tray, "external")
            await until_entry(tray, "Models", "More")
            await tray.click("Show status")
            await desk.host.toast("Aura Ollama")
            assert (await asyncio.to_thread(call, "GET", f"{await program.url()}/api/ollama/models")).status == 200
            assert "Traceback" not in program.said


@pytest.mark.parametrize("backend", ["appindicator", "gtk", "xorg"])
async def test_a_view_that_cannot_be_painted_leaves_the_icon_to_the_next_one(
    tmp_path: Path, desk: Desk, backend: str
) -> None:
    rig = Rig(tmp_path, fake_ollama.install(tmp_path / "bin"))
    env = desk.env | {"PYSTRAY_BACKEND": backend}
    program = Program(rig, env, script=Path(__file__).with_name("bad_views.py"))
    try:
        await wait_for(lambda: "still there" in program.said or program.process.poll() is not None)
        assert program.process.poll() is None, program.said
        if backend == "appindicator":
            await until_look(await desk.host.tray(), "down")
    finally:
        program.process.terminate()
        assert await program.ended(within=5) == 0, program.said
