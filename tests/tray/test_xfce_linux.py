"""The icon in Xfce's real panel, whose plugin shares one process between the icons of all programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.beds.desktop import Entry, Tray
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.sidecar import CHECKOUT
from tests.beds.xfce import Xfce, installed, xfce
from tests.rig import Rig
from tests.tray.program import Program, change, desktop, until_entry, wait_for, wishes

# After a click, by turns: at once, while entries may not come yet, about when they do, and after it.
PAUSES = (0.0, 0.25, 0.5, 0.7)
CLICKS = 200
MODELS = 60
# Bytes, 1 KB a change.
MOST_GROWTH = 2_000_000
# Xfce's panel tells when it opens a menu, and not when it closes it: `tray.screen.gtk_menu.ASKED_SECONDS`.
HELD_SECONDS = 10.0


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Xfce]:
    """The panel on a screen of its own."""
    require(installed)
    async with xfce(tmp_path / "desk") as found:
        yield found


async def models(tray: Tray) -> tuple[Entry, ...]:
    """What the submenu of the models holds."""
    return (await tray.menu()).find("Models").children


@pytest.mark.timeout(240)  # a person's clicks, 0.6 s each
async def test_200_clicks_with_60_models_leave_the_panel_as_it_is(desk: Xfce) -> None:
    with wishes(desk.env, MODELS):
        tray = await desk.tray()
        for number in range(CLICKS):
            await desk.click(tray, "Stop Ollama" if number % 2 else "Start Ollama")
            await asyncio.sleep(PAUSES[number // 2 % len(PAUSES)])
            assert desk.complaints == []
        await until_entry(tray, "Models", "Ollama is not running")


@pytest.mark.timeout(60)  # a menu counts as open for 10 s
async def test_an_open_menu_stays_and_tells_each_new_status(desk: Xfce) -> None:
    with wishes(desk.env, MODELS) as icon:
        tray = await desk.tray()
        await desk.open_menu(tray)
        for number in range(20):
            change(icon, f"1.{number}")
            await until_entry(tray, f"Ollama 1.{number} is running")
            assert desk.is_menu_open()
        await desk.close_menu()
        await wait_for_models(tray, within=HELD_SECONDS + 2)
        assert desk.complaints == []


async def test_who_opens_the_menu_again_and_again_sees_the_entries_of_now(desk: Xfce) -> None:
    with wishes(desk.env, MODELS) as icon:
        tray = await desk.tray()
        await desk.open_menu(tray)
        change(icon, "1.0")
        await until_entry(tray, "Ollama 1.0 is running")
        await desk.close_menu()
        await desk.open_menu(tray)
        await wait_for_models(tray, within=HELD_SECONDS / 2)
        assert desk.is_menu_open()
        assert desk.complaints == []


async def wait_for_models(tray: Tray, within: float) -> None:
    """Return once the models are listed."""
    async with asyncio.timeout(within):
        while len(await models(tray)) == 1:
            await asyncio.sleep(0.02)


async def test_entries_come_when_a_host_has_told_that_the_menu_was_closed() -> None:
    async with desktop() as desk:
        with wishes(desk.env, MODELS) as icon:
            tray = await desk.host.tray()
            await until_entry(tray, "Models", "Ollama is not running")
            last = (await tray.menu()).find("Quit")
            await tray.tell("opened")
            change(icon, "1_0")
            await until_entry(tray, "Ollama 1_0 is running")
            assert len(await models(tray)) == 1
            await tray.tell("closed")
            await wait_for_models(tray, within=3)
            # What stays is the same entry to the host, and so to a click that is on its way.
            assert (await tray.menu()).find("Quit") == last


@pytest.mark.timeout(120)  # 2,500 changes, on two busy cores
async def test_2000_changes_of_status_leave_nothing_in_memory_and_no_descriptor_open(desk: Xfce) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("changes.py")),
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | desk.env,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        (bytes_before, files_before), (bytes_after, files_after) = [
            map(int, (await process.stdout.readline()).split()) for _ in range(2)
        ]
    finally:
        process.terminate()
        await process.wait()
    assert files_after == files_before
    assert bytes_after - bytes_before < MOST_GROWTH
    assert desk.complaints == []


@pytest.mark.timeout(60)  # a real Ollama starts and stops several times
async def test_the_program_and_a_real_ollama_with_60_models_in_the_panel(desk: Xfce, tmp_path: Path) -> None:
    rig = Rig(tmp_path, require(ollama).executable).with_model()
    (manifest,) = (tmp_path / "models" / "manifests").rglob("tiny/latest")
    for number in range(MODELS):
        copy = manifest.parent.with_name(f"copy-{number}") / "latest"
        copy.parent.mkdir()
        shutil.copy(manifest, copy)
    program = Program(rig, desk.env)
    try:
        tray = await desk.tray()
        for _ in range(6):
            await desk.click(tray, "Start Ollama")
            await until_entry(tray, "Ollama 0.9.3 is running")
            await desk.click(tray, "Stop Ollama")
            await until_entry(tray, "Ollama is not running")
        assert desk.complaints == []
        await desk.click(tray, "Quit")
        await wait_for(lambda: program.process.poll() == 0)
    finally:
        await program.end()
