"""What Windows and its user see of the frozen program."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beds import BedMissing
from tests.beds.frozen import PROGRAM, SHIM, VERSIONS, WINDOWED, Frozen, alive, ask, eventually
from tests.beds.ollama import ollama
from tests.beds.require import require
from tests.beds.wire import free_port, listens
from tests.tied import ON_WINE

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

pytestmark = pytest.mark.timeout(400)  # the first one waits for two builds

FOR_WINDOWS, FOR_THE_CONSOLE = 2, 3
WM_CLOSE, WM_GETTEXT = 0x0010, 0x000D
TEXT_OF_A_MESSAGE_BOX = 0xFFFF


def version_of(file: Path) -> str:
    """The product version in the file's version resource."""
    library = ctypes.WinDLL("version")
    size = library.GetFileVersionInfoSizeW(str(file), None)
    resource = ctypes.create_string_buffer(size)
    assert library.GetFileVersionInfoW(str(file), 0, size, resource)
    value, length = ctypes.c_wchar_p(), ctypes.c_uint32()
    name = r"\StringFileInfo\040904B0\ProductVersion"
    assert library.VerQueryValueW(resource, name, ctypes.byref(value), ctypes.byref(length))
    assert value.value is not None
    return value.value


def subsystem_of(file: Path) -> int:
    """The subsystem in the header of an executable."""
    content = file.read_bytes()[:4096]
    (header,) = struct.unpack_from("<I", content, 0x3C)
    # Behind the signature and the file header of 20 bytes.
    (subsystem,) = struct.unpack_from("<H", content, header + 24 + 68)
    return int(subsystem)


@pytest.mark.parametrize(
    ("program", "subsystem"), [(PROGRAM, FOR_THE_CONSOLE), (WINDOWED, FOR_WINDOWS), (SHIM, FOR_WINDOWS)]
)
def test_each_executable_says_its_version_has_an_icon_and_only_one_opens_a_console(
    builds: list[Path], program: str, subsystem: int
) -> None:
    for build, version in zip(builds, VERSIONS, strict=True):
        assert version_of(build / program) == version
        assert subsystem_of(build / program) == subsystem
        assert ctypes.WinDLL("shell32").ExtractIconExW(str(build / program), -1, None, None, 0) == 1


@pytest.fixture
def frozen(builds: list[Path], tmp_path: Path) -> Frozen:
    """The first build, installed."""
    place = Frozen(tmp_path, require(ollama).executable)
    place.install(builds[0])
    return place


@contextlib.contextmanager
def double_clicked(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run it as Explorer does: with no standard files."""
    none = subprocess.STARTUPINFO(dwFlags=subprocess.STARTF_USESTDHANDLES, hStdInput=0, hStdOutput=0, hStdError=0)
    with subprocess.Popen(command, startupinfo=none) as process:
        try:
            yield process
        finally:
            process.kill()


def box_says(process: subprocess.Popen[bytes]) -> str:
    """What the program shows in a box, which is closed then."""
    user32 = ctypes.WinDLL("user32")
    find = user32.FindWindowW
    eventually(lambda: find(None, "Aura Ollama") != 0 or process.poll() is not None, "box")
    box = find(None, "Aura Ollama")
    assert box, f"the program ended with {process.returncode} and showed nothing"
    text = ctypes.create_unicode_buffer(4096)
    user32.SendMessageW(user32.GetDlgItem(box, TEXT_OF_A_MESSAGE_BOX), WM_GETTEXT, len(text), text)
    user32.PostMessageW(box, WM_CLOSE, 0, 0)
    return text.value


def a_screen() -> None:
    """Raise `BedMissing` where nothing can be shown."""
    if ON_WINE and not os.environ.get("DISPLAY"):
        raise BedMissing("Wine shows windows on an X display only: set DISPLAY")


@pytest.mark.parametrize(
    ("option", "says", "code"),
    [("--version", f"aura-ollama {VERSIONS[0]}", 0), ("--prot", "unrecognized arguments: --prot", 2)],
)
def test_what_it_cannot_print_is_shown(frozen: Frozen, option: str, says: str, code: int) -> None:
    require(a_screen)
    with double_clicked(frozen.command(option, program=WINDOWED)) as process:
        assert says in box_says(process)
        assert process.wait(30) == code


def test_a_port_that_is_taken_is_shown_and_logged(frozen: Frozen, web_server: int) -> None:
    require(a_screen)
    with double_clicked(frozen.command("--port", str(web_server), program=WINDOWED)) as process:
        assert str(web_server) in box_says(process)
        assert process.wait(30) == 1
    assert str(web_server) in (frozen.data / "logs" / "sidecar.log").read_text()


def test_without_a_tray_it_shows_nothing_and_logs(frozen: Frozen, web_server: int) -> None:
    with double_clicked(frozen.command("--headless", "--port", str(web_server), program=WINDOWED)) as process:
        assert process.wait(30) == 1
    assert str(web_server) in (frozen.data / "logs" / "sidecar.log").read_text()


def icon_window() -> int | None:
    """The window that pystray's icon hangs on; None while there is none."""
    user32 = ctypes.WinDLL("user32")
    found: list[int] = []

    def look(window: int, _: int) -> int:
        name = ctypes.create_unicode_buffer(256)
        user32.GetClassNameW(ctypes.c_void_p(window), name, len(name))
        if name.value.startswith("aura-ollama") and name.value.endswith("SystemTrayIcon"):
            found.append(window)
        return 1

    user32.EnumWindows(ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(look), None)
    return found[0] if found else None


def test_with_its_tray_it_serves_until_it_is_closed_and_takes_ollama_along(frozen: Frozen) -> None:
    """As taskkill does it."""
    require(a_screen)
    port = free_port()
    with double_clicked(frozen.command("--port", str(port), program=WINDOWED)) as process:
        eventually(lambda: listens(port) and icon_window() is not None, "server with an icon")
        assert ask(f"http://127.0.0.1:{port}", "POST", "start").status == 200
        tree = frozen.tree()
        ctypes.WinDLL("user32").PostMessageW(ctypes.c_void_p(icon_window()), WM_CLOSE, 0, 0)
        assert process.wait(30) == 0
        assert alive(tree) == []
        assert frozen.record()["exitCode"] == 0


def test_without_standard_files_it_serves(frozen: Frozen) -> None:
    port = free_port()
    with double_clicked(frozen.command("--headless", "--port", str(port), program=WINDOWED)):
        eventually(lambda: listens(port), "server")
