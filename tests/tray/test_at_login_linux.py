"""Start at login: the session runs the program as it runs now, by a real launcher, GLib's."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.__main__ import parser
from core.settings.paths import Paths
from tests import fake_ollama
from tests.beds.require import require
from tests.beds.screen import program as debian
from tests.beds.wire import free_port
from tests.rig import Rig
from tests.tray.program import Desk, Program, desktop, until_entry, wait_for
from tray.program.at_login import options_again

pytestmark = pytest.mark.timeout(40)  # a screen and two programs with GTK start one after the other

ODD = "a b \"c\" 'd' `e` $HOME $(f) \\g %f 100% %% ; & # = é 𝄞"
LOGIN = "Start this program at login"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A desktop."""
    async with desktop() as found:
        yield found


@pytest.mark.parametrize("told_by", ["options", "environment"])
async def test_a_launcher_starts_it_with_the_same_folder_and_port(tmp_path: Path, desk: Desk, told_by: str) -> None:
    gio = require(lambda: debian("gio", "libglib2.0-bin"))
    rig = Rig(tmp_path / ODD, fake_ollama.install(tmp_path / "bin"))
    place = {} if told_by == "options" else {"AURA_DATA_PATH": str(rig.root)}
    port = free_port()
    options = [*(["--data-dir", str(rig.root)] if told_by == "options" else []), "--port", str(port)]
    first = Program(rig, desk.env | place, *options, has_own_place=False)
    entry = rig.root / "config" / "autostart" / "aura-ollama.desktop"
    try:
        tray = await desk.host.tray()
        url = await first.url()
        assert url == f"http://127.0.0.1:{port}"
        await until_entry(tray, LOGIN)
        await tray.click(LOGIN)
        await wait_for(entry.exists)
    finally:
        await first.end()
    note = rig.paths.run / "sidecar.json"
    note.unlink(missing_ok=True)
    (image,) = [line for line in entry.read_text().splitlines() if line.startswith("Icon=")]
    assert Path(image.removeprefix("Icon=")).is_file()

    desk.host.forget_trays()
    # What a session has: a home, and no more of ours.
    env = {name: value for name, value in first.environment.items() if name != "AURA_DATA_PATH"}
    await asyncio.to_thread(subprocess.run, [gio, "launch", str(entry)], env=env, cwd="/", check=True)
    tray = await desk.host.tray()
    try:
        await wait_for(lambda: note.exists() and url in note.read_text())
    finally:
        await until_entry(tray, "Quit")
        await tray.click("Quit")
        await wait_for(lambda: not note.exists())


def test_only_what_was_told_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*arguments: str) -> list[str]:
        options: argparse.Namespace = parser().parse_args(arguments)
        return list(options_again(options, Paths.find(options.data_dir)))

    monkeypatch.delenv("AURA_DATA_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    assert again() == []
    assert again("--port", "0") == ["--port", "0"]
    assert again("--host", "127.0.0.2", "--verbose") == ["--host", "127.0.0.2", "--verbose"]
    assert again("--data-dir", "here") == ["--data-dir", str(tmp_path / "here")]
    monkeypatch.setenv("AURA_DATA_PATH", f"there{os.sep}")
    assert again() == ["--data-dir", str(tmp_path / "there")]
    assert again("--data-dir", "here") == ["--data-dir", str(tmp_path / "here")]
