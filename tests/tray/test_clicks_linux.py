"""What a click on each entry of the menu does: the real program, with the real Ollama and a real clipboard."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.text import cut_name
from tests.beds.desktop import Tray
from tests.beds.ollama import ollama
from tests.beds.registry import registry
from tests.beds.require import require
from tests.beds.screen import program as installed
from tests.beds.server import OllamaServer
from tests.beds.wire import call
from tests.core.jobs.bed import MB, weights
from tests.rig import Rig
from tests.tray.program import Desk, desktop, running, until_entry, wait_for

assert sys.platform == "linux"

pytestmark = pytest.mark.timeout(40)  # a program with GTK and an Ollama start, on two busy cores


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desktop of our own. A stand-in opens nothing: a browser and an editor would bring half a desktop along."""
    opener = tmp_path / "bin" / "xdg-open"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>"{tmp_path}/opened"\n')
    opener.chmod(0o755)
    async with desktop() as found:
        found.env["PATH"] = f"{opener.parent}:{os.environ['PATH']}"
        yield found


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The real Ollama with the tiny model."""
    return Rig(tmp_path, require(ollama).executable).with_model()


async def opened(rig: Rig) -> str:
    """What was opened last, once something is."""
    said = rig.root / "opened"
    await wait_for(lambda: said.exists() and said.read_text().endswith("\n"))
    found = said.read_text().splitlines()[-1]
    said.unlink()
    return found


def pasted(desk: Desk) -> str:
    """What the clipboard holds."""
    paste = [require(lambda: installed("xclip", "xclip")), "-selection", "clipboard", "-out"]
    return subprocess.run(paste, env=os.environ | desk.env, capture_output=True, text=True, timeout=10).stdout


async def test_both_addresses_and_a_model_s_name_are_copied_and_each_is_confirmed(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_entry(tray, "Models", "tiny:latest", "Copy name")
        for labels, text in (
            (("Copy Ollama's address",), rig.url),
            (("Copy the sidecar's address",), await program.url()),
            (("Models", "tiny:latest", "Copy name"), "tiny:latest"),
        ):
            await tray.click(*labels)
            assert (await desk.host.toast("Copied")).text == f"{text} is on the clipboard."
            assert await asyncio.to_thread(pasted, desk) == text


async def test_each_place_opens_and_our_own_settings_are_made_for_it(rig: Rig, desk: Desk) -> None:
    rig.paths.sidecar.unlink()
    async with running(rig, desk) as (_, tray):
        await until_entry(tray, "Open", "Newest log (none yet)")
        rig.paths.logs.mkdir(parents=True)
        log = rig.paths.logs / "ollama-20240101-000000.log"
        log.write_text("x\n")
        for label, path in (
            ("Logs folder", rig.paths.logs),
            ("Data folder", rig.paths.data),
            ("Aura's settings", rig.paths.settings),
            ("This program's settings", rig.paths.sidecar),
        ):
            await tray.click("Open", label)
            assert await opened(rig) == str(path)
        assert json.loads(rig.paths.sidecar.read_text()) == {}
        with OllamaServer(rig.root / "theirs", executable=rig.executable, port=rig.port):
            await until_entry(tray, "Open", "Newest log")
            await tray.click("Open", "Newest log")
            assert await opened(rig) == str(log)


async def test_where_nothing_can_be_opened_or_copied_a_toast_has_the_path_and_the_address(rig: Rig, desk: Desk) -> None:
    (rig.root / "bin" / "xdg-open").write_text("#!/bin/sh\nexit 3\n")
    desk.env["PATH"] = str(rig.root / "bin")
    async with running(rig, desk) as (program, tray):
        await until_entry(tray, "Open", "Data folder")
        await tray.click("Open", "Data folder")
        assert (await desk.host.toast("Could Not Open It")).text == f"It is in {rig.paths.data}"
        await tray.click("Copy the sidecar's address")
        assert (await desk.host.toast("Could Not Copy It")).text == await program.url()


async def test_settings_that_aura_has_not_written_yet_are_not_made_for_it(rig: Rig, desk: Desk) -> None:
    rig.paths.settings.unlink()
    async with running(rig, desk) as (_, tray):
        await until_entry(tray, "Open", "Aura's settings")
        await tray.click("Open", "Aura's settings")
        assert str(rig.paths.settings) in (await desk.host.toast("Aura's Settings")).text
        assert not rig.paths.settings.exists()


async def test_who_has_no_ollama_is_led_to_where_it_is(rig: Rig, desk: Desk) -> None:
    rig.configure(executable=rig.root / "gone")
    async with running(rig, desk) as (_, tray):
        await until_entry(tray, "Ollama was not found where the settings say")
        await until_entry(tray, "Get Ollama")
        await tray.click("Get Ollama")
        assert await opened(rig) == "https://ollama.com/download"


async def test_a_failed_start_leads_to_its_cause_in_the_log(rig: Rig, desk: Desk) -> None:
    rig.configure(env={"HOME": str(rig.root), "OLLAMA_MODELS": "/dev/null/models"})
    async with running(rig, desk) as (_, tray):
        await tray.click("Start Ollama")
        cause = "Error: mkdir /dev/null: not a directory"
        assert cause in (await desk.host.toast("Failed to Start Ollama")).text
        await until_entry(tray, "Ollama could not be started")
        await until_entry(tray, cause)
        await until_entry(tray, "What went wrong")
        await tray.click("What went wrong")
        report = Path(await opened(rig))
        text = report.read_text()
        (log,) = rig.paths.logs.glob("*.log")
        assert text.startswith("Failed to Start Ollama\n")
        assert text.index(cause) < text.index(str(log))
        assert log.read_text().splitlines()[-1] in text
        assert report.stat().st_mode & 0o077 == 0


async def test_another_s_ollama_comes_with_the_way_to_stop_it(rig: Rig, desk: Desk) -> None:
    with OllamaServer(rig.root / "theirs", executable=rig.executable, port=rig.port) as server:
        async with running(rig, desk) as (_, tray):
            await until_entry(tray, "Another program's Ollama 0.9.3 is running")
            await tray.click("How to stop it")
            toast = await desk.host.toast("Not Started Here")
            assert f"pid {server.process.pid}" in toast.text
            assert f"Stop process {server.process.pid}" in toast.text


async def test_a_model_becomes_aura_s_and_nothing_else_in_its_settings_changes(rig: Rig, desk: Desk) -> None:
    aura = json.loads(rig.paths.settings.read_text())
    rig.paths.settings.write_text(json.dumps(aura | {"theme": "dark"}))
    async with running(rig, desk) as (_, tray):
        await tray.click("Start Ollama")
        labels = ("Models", "tiny:latest", "Set as Aura's model")
        assert (await until_entry(tray, *labels)).checked is False
        await tray.click(*labels)
        await desk.host.toast("Aura's Model")
        assert json.loads(rig.paths.settings.read_text()) == aura | {"theme": "dark", "ollamaModel": "tiny:latest"}
        async with asyncio.timeout(10):
            while not (await until_entry(tray, *labels)).checked:
                await asyncio.sleep(0.02)


async def test_models_are_loaded_and_unloaded_one_by_one_and_all_at_once(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (_, tray):
        await tray.click("Start Ollama")
        for way_out in (("● tiny:latest", "Unload from memory"), ("Unload all",)):
            await until_entry(tray, "Models", "tiny:latest", "Load into memory")
            await tray.click("Models", "tiny:latest", "Load into memory")
            await until_entry(tray, "Models", *way_out)
            await until_entry(tray, "Models (1, 1 loaded)")
            await tray.click("Models", *way_out)
        await until_entry(tray, "Models", "tiny:latest", "Load into memory")


async def test_the_model_that_was_used_last_comes_first(rig: Rig, desk: Desk) -> None:
    (manifest,) = (rig.root / "models" / "manifests").rglob("tiny/latest")
    for number in range(3):
        copy = manifest.parent.with_name(f"copy-{number}") / "latest"
        copy.parent.mkdir()
        shutil.copy(manifest, copy)
        os.utime(copy, (1e9 + number, 1e9 + number))
    async with running(rig, desk) as (_, tray):
        await tray.click("Start Ollama")
        await until_entry(tray, "Models", "copy-0:latest", "Load into memory")
        assert await order(tray) == ["tiny", "copy-2", "copy-1", "copy-0"]
        await tray.click("Models", "copy-0:latest", "Load into memory")
        await until_entry(tray, "Models", "● copy-0:latest", "Unload from memory")
        await tray.click("Models", "● copy-0:latest", "Unload from memory")
        await until_entry(tray, "Models", "copy-0:latest", "Load into memory")
        async with asyncio.timeout(10):
            while await order(tray) != ["copy-0", "tiny", "copy-2", "copy-1"]:
                await asyncio.sleep(0.02)


async def test_more_opens_the_page_with_a_ticket_where_the_token_is_required(rig: Rig, desk: Desk) -> None:
    (manifest,) = (rig.root / "models" / "manifests").rglob("tiny/latest")
    for number in range(22):
        copy = manifest.parent.with_name(f"copy-{number}") / "latest"
        copy.parent.mkdir()
        shutil.copy(manifest, copy)
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        assert (await until_entry(tray, "Models", "More")).label == "More… (3)"
        await tray.click("Models", "More")
        page = await opened(rig)
        url = await program.url()
        assert page == f"{url}/"
        assert (await asyncio.to_thread(call, "GET", page)).status == 200
        rig.configure(requireToken=True)
        await tray.click("Open dashboard")
        start, _, ticket = (await opened(rig)).partition("#ticket=")
        assert start == f"{url}/"
        changed = await asyncio.to_thread(call, "POST", f"{url}/api/app/token", {"ticket": ticket})
        assert changed.json["token"] == (rig.paths.run / "token").read_text().strip()


async def order(tray: Tray) -> list[str]:
    """The models from top to bottom."""
    lines = (await tray.menu()).find("Models").children
    return [entry.label.partition(":latest")[0] for entry in lines if ":latest" in entry.label]


async def test_a_model_that_cannot_be_loaded_is_told_in_ollama_s_words(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (_, tray):
        await tray.click("Start Ollama")
        await until_entry(tray, "Models", "tiny:latest", "Load into memory")
        (blob,) = (path for path in (rig.root / "models" / "blobs").iterdir() if path.stat().st_size > 100_000)
        blob.write_bytes(b"no model")
        await tray.click("Models", "tiny:latest", "Load into memory")
        assert (await desk.host.toast("tiny:latest Was Not Loaded")).text != ""


async def test_a_pull_has_a_line_with_its_percentage_and_cancel_ends_it(rig: Rig, desk: Desk) -> None:
    async with registry() as shop:
        shop.add("big:latest", [weights(1)])[0].hold_at = MB
        rig.configure(allowedRegistries=[shop.host], allowInsecureRegistries=True)
        async with running(rig, desk) as (program, tray):
            await tray.click("Start Ollama")
            await until_entry(tray, "Stop Ollama")
            name = urllib.parse.quote(shop.name("big"), safe="")
            url = f"{await program.url()}/api/ollama/models/{name}/pull"
            # It answers once the pull has ended, which is soon: it is cancelled.
            pulling = asyncio.create_task(asyncio.to_thread(call, "POST", url, timeout=30))
            line = f"Pulling {cut_name(f'{shop.host}/library/big:latest', 24)}"
            await until_entry(tray, line, "Downloading")
            assert " % of 3.81 MB" in (await tray.menu()).find(line).label
            assert "; pulling " in (await tray.properties())["Title"]
            await tray.click(line, "Cancel")
            await asyncio.wait_for(pulling, 10)
            async with asyncio.timeout(10):
                while any(entry.label.startswith("Pulling ") for entry in (await tray.menu()).children):
                    await asyncio.sleep(0.02)


async def test_the_tooltip_tells_the_memory_that_ollama_takes_by_the_newest_sample(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_entry(tray, "Stop Ollama")
        metrics = f"{await program.url()}/api/ollama/metrics"
        # Whoever asks has a sample taken; without anybody there is one each 30 s.
        assert (await asyncio.to_thread(call, "GET", metrics)).status == 200
        async with asyncio.timeout(10):
            while not re.search(r"is running; [\d.]+ MB in memory$", (await tray.properties())["Title"]):
                await asyncio.sleep(0.02)
        await tray.click("Stop Ollama")
        async with asyncio.timeout(10):
            while "memory" in (await tray.properties())["Title"]:
                await asyncio.sleep(0.02)


async def test_about_has_a_line_for_each_thing(rig: Rig, desk: Desk) -> None:
    async with running(rig, desk) as (program, tray):
        await tray.click("Start Ollama")
        await until_entry(tray, "Stop Ollama")
        await desk.host.toast("Ollama Started")
        await tray.click("About Aura Ollama")
        version, running_, sidecar, data = (await desk.host.toast("Aura Ollama")).text.splitlines()
        assert version.startswith("Version ")
        assert running_ == f"Ollama 0.9.3 is running (pid {rig.record.pid})"
        assert sidecar == f"Sidecar at {await program.url()}"
        assert data == f"Data in {rig.paths.data}"
