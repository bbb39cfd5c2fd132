"""The real program on Windows: how it ends where nobody clicks."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
import winreg
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api import __main__ as headless
from core.platform import desktop as desktop_of_windows
from core.settings.paths import Paths
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import free_port
from tray.program import at_login

assert sys.platform == "win32"

pytestmark = pytest.mark.timeout(180)  # the program starts, and so may a taskbar

DEADLINE_SECONDS = 60.0


@pytest.fixture(scope="module", autouse=True)
def desktop() -> None:
    """Wine starts Explorer, as our child, for the first program that wants a desktop. It is no test's own."""
    ctypes.WinDLL("user32").GetDesktopWindow()


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        time.sleep(0.02)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, sys.path)])}


@contextmanager
def program(python: Path, root: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The tray program on a console of its own, once it serves."""
    process = subprocess.Popen(
        [python, "-m", "tray", "--port", "0", "--data-dir", root, *options],
        cwd=CHECKOUT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=subprocess.CREATE_NO_WINDOW,
    )
    try:
        note = root / "AuraData" / "run" / "sidecar.json"
        eventually(lambda: process.poll() is not None or note.exists(), "it serves")
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


def test_ctrl_c_is_a_quit_also_while_the_window_has_the_main_thread(tmp_path: Path) -> None:
    with program(Path(sys.executable), tmp_path) as process:
        asked = [sys.executable, "-m", "tray.program.start", "--console-stop", str(process.pid)]
        helper = subprocess.run(
            asked, cwd=CHECKOUT, env=environment(), creationflags=subprocess.CREATE_NO_WINDOW, timeout=DEADLINE_SECONDS
        )
        assert helper.returncode == 0
        assert process.wait(DEADLINE_SECONDS) == 0


def test_a_second_start_of_one_that_has_no_icon_says_so(tmp_path: Path) -> None:
    with program(Path(sys.executable), tmp_path, "--headless"):
        command = [sys.executable, "-m", "tray", "--port", "0", "--data-dir", str(tmp_path)]
        second = subprocess.run(
            command, cwd=CHECKOUT, env=environment(), stderr=subprocess.PIPE, text=True, timeout=DEADLINE_SECONDS
        )
    assert second.returncode == 1
    assert second.stderr.rpartition(". ")[2].strip() == "It was started with --headless."


def test_it_needs_no_console_and_a_request_to_close_is_a_quit(tmp_path: Path) -> None:
    """`pythonw.exe`, as at login: no standard streams at all."""
    with program(Path(sys.executable).with_name("pythonw.exe"), tmp_path) as process:
        closing = [sys.executable, str(Path(__file__).with_name("taskbar.py")), "close"]
        done = subprocess.run(closing, cwd=CHECKOUT, env=environment(), timeout=DEADLINE_SECONDS)
        assert done.returncode == 0
        assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("told_by", ["options", "environment"])
def test_the_command_at_login_serves_the_same_folder_and_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    """Run as Explorer runs it: as one line, from another folder, without what this program alone was told."""
    root = tmp_path / "a b 'c' %PATH% & ^é"
    arguments = ["--port", str(port := free_port())]
    if told_by == "options":
        arguments += ["--data-dir", str(root)]
    else:
        monkeypatch.setenv("AURA_DATA_PATH", str(root))
    options = headless.parser().parse_args(arguments)
    with run_value_of_our_own() as read:
        at_login.start(options, Paths.find(options.data_dir))
        command = read()
    env = {name: value for name, value in environment().items() if name != "AURA_DATA_PATH"}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL)
    try:
        note = root / "AuraData" / "run" / "sidecar.json"
        eventually(lambda: process.poll() is not None or (note.exists() and str(port) in note.read_text()), "it serves")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)


@contextmanager
def run_value_of_our_own() -> Iterator[Callable[[], str]]:
    """A function that reads what starts at login; at the end this user's own is as it was."""
    with winreg.CreateKey(winreg.HKEY_CURRENT_USER, r"Software\Microsoft\Windows\CurrentVersion\Run") as key:
        try:
            before = winreg.QueryValueEx(key, "AuraOllama")
        except FileNotFoundError:
            before = None
        try:
            yield lambda: str(winreg.QueryValueEx(key, "AuraOllama")[0])
        finally:
            if before is None:
                desktop_of_windows.stop_at_login()
            else:
                winreg.SetValueEx(key, "AuraOllama", 0, before[1], before[0])
