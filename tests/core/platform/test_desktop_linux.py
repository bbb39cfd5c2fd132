"""What a desktop offers: the texts for all three systems, and on Linux the real files, programs, bus and display."""

from __future__ import annotations

import asyncio
import configparser
import os
import plistlib
import queue
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from hypothesis import given
from hypothesis import strategies as st

from core.platform import desktop
from core.platform.desktop import entry_text
from tests.beds.bound_disk import bound_disk
from tests.beds.desktop import session_bus
from tests.beds.panel import panel
from tests.beds.screen import program, screen

assert sys.platform == "linux"

NOTIFICATIONS = "org.freedesktop.Notifications"
WATCHER = "org.kde.StatusNotifierWatcher"
DEADLINE_SECONDS = 5.0
PASTES = {"xclip": ["-selection", "clipboard", "-out"], "xsel": ["--clipboard", "--output"]}
# All that a path or a text may hold and some layer of quoting may trip over.
NASTY = "a b\tc \"d\" 'e' `f` $HOME $(g) \\h \\\\i %f 100% %% ~ * ? # & ; | < > (j) = é 𝄞 [k] \nl\r."
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def exec_arguments(entry: str) -> list[str]:
    """An independent reading of Exec: by configparser for the file, by shlex for the quoting."""
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(entry)
    meant = {"n": "\n", "t": "\t", "r": "\r", "s": " "}
    value = re.sub(r"\\(.)", lambda found: meant.get(found[1], found[1]), parser["Desktop Entry"]["Exec"])
    # Inside double quotes shlex takes a backslash away before itself and a quote, the specification before $ and ` too.
    value = re.sub(r"(\\\\)|\\([$`])", lambda found: found[1] or found[2], value)
    return [argument.replace("%%", "%") for argument in shlex.split(value)]


@given(st.lists(paths, min_size=1, max_size=3))
def test_an_autostart_entry_runs_exactly_the_given_arguments(arguments: list[str]) -> None:
    """Whatever they hold; one whose program's path has a percent sign goes through a shell."""
    read = exec_arguments(entry_text.desktop_entry(arguments))
    if "%" in arguments[0]:
        assert read[:3] == ["/bin/sh", "-c", 'exec "$0" "$@"']
        del read[:3]
    assert read == arguments


@given(paths, st.lists(paths, max_size=2))
def test_the_program_of_an_autostart_entry_is_read_back(path: str, rest: list[str]) -> None:
    assert entry_text.desktop_entry_program(entry_text.desktop_entry([path, *rest])) == path


def test_an_autostart_entry_has_the_keys_that_desktops_want() -> None:
    lines = entry_text.desktop_entry(["/opt/aura"], "/opt/a b\\c.png").splitlines()
    assert lines[0] == "[Desktop Entry]"
    assert {
        "Type=Application",
        "Name=Aura Ollama",
        'Exec="/opt/aura"',
        "Icon=/opt/a b\\\\c.png",
        "X-GNOME-Autostart-enabled=true",
    } <= set(lines)


def test_an_entry_without_an_icon_has_no_icon_key() -> None:
    assert "Icon" not in entry_text.desktop_entry(["/opt/aura"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Desktop Entry]\nExec=aura-ollama --x\n", "aura-ollama"),
        ("[Desktop Entry]\n# Exec=other\nExec = /opt/aura\n", "/opt/aura"),
        ("[Desktop Entry]\r\nExec=/opt/aura\r\n", "/opt/aura"),
        ("[Desktop Entry]\nExec=/opt/aura\nHidden=true\n", None),
        ("[Desktop Entry]\nExec=/opt/aura\nHidden=false\n", "/opt/aura"),
        ("[Desktop Entry]\nX-GNOME-Autostart-enabled=false\nExec=/opt/aura\n", None),
        ("[Desktop Action x]\nExec=/opt/other\n", None),
        ("[Desktop Entry]\nExec=/opt/aura\n[Desktop Action x]\nExec=/opt/other\nHidden=true\n", "/opt/aura"),
        ("[Desktop Entry]\nExec=\n", None),
        ("", None),
    ],
)
def test_an_autostart_entry_of_any_origin_is_read(text: str, expected: str | None) -> None:
    assert entry_text.desktop_entry_program(text) == expected


def test_a_launch_agent_runs_the_command_at_login_on_a_desktop() -> None:
    agent = plistlib.loads(entry_text.launch_agent(["/Applications/A & <B>.app/aura", "x\ny"]))
    assert agent == {
        "Label": "studio.aura.ollama",
        "ProgramArguments": ["/Applications/A & <B>.app/aura", "x\ny"],
        "RunAtLoad": True,
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": "Aqua",
    }


def test_the_program_of_a_launch_agent_is_read_back() -> None:
    assert entry_text.launch_agent_program(entry_text.launch_agent(["/a & b", "c"])) == "/a & b"


@pytest.mark.parametrize(
    "agent",
    [
        {"ProgramArguments": ["/a"], "RunAtLoad": True, "Disabled": True},
        {"ProgramArguments": ["/a"], "RunAtLoad": False},
        {"ProgramArguments": [], "RunAtLoad": True},
        {"RunAtLoad": True},
        ["/a"],
    ],
)
def test_a_launch_agent_that_starts_nothing_names_no_program(agent: dict[str, Any] | list[str]) -> None:
    assert entry_text.launch_agent_program(plistlib.dumps(agent)) is None


@pytest.mark.parametrize("text", [b"", b"rubbish", b"<plist><dict>", b"\xff\xfe"])
def test_a_broken_launch_agent_names_no_program(text: bytes) -> None:
    assert entry_text.launch_agent_program(text) is None


def test_a_launch_agent_refuses_what_a_property_list_cannot_hold() -> None:
    with pytest.raises(ValueError, match="control"):
        entry_text.launch_agent(["/a\x01"])


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ([r"C:\aura\aura-ollama.exe"], r"C:\aura\aura-ollama.exe"),
        ([r"C:\Program Files\aura.exe", "-m", "tray"], r'"C:\Program Files\aura.exe" -m tray'),
        ([r"C:\100% & co\aura.exe", "a b"], r'"C:\100% & co\aura.exe" "a b"'),
    ],
)
def test_a_run_value_quotes_and_names_its_program(command: list[str], value: str) -> None:
    assert entry_text.run_value(command) == value
    assert entry_text.run_value_program(value) == command[0]


@pytest.mark.parametrize(("value", "program"), [("", None), ("  ", None), ('""', None), ('  "C:\\a b', "C:\\a b")])
def test_a_run_value_of_any_origin_is_read(value: str, program: str | None) -> None:
    assert entry_text.run_value_program(value) == program


def test_a_run_value_longer_than_windows_reads_is_refused() -> None:
    assert len(entry_text.run_value(["a" * 260])) == 260
    with pytest.raises(ValueError, match="260"):
        entry_text.run_value(["a" * 261])


def test_the_login_command_is_a_script_beside_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the quiet interpreter beside it, else the running one; a frozen program without one is its own command."""
    python, quiet, script = tmp_path / "python", tmp_path / "pythonw", tmp_path / "aura"
    monkeypatch.setattr(sys, "executable", str(python))
    assert entry_text.login_command("aura", "pythonw") == [str(python), "-P", "-m", "tray"]
    quiet.touch()
    assert entry_text.login_command("aura", "pythonw") == [str(quiet), "-P", "-m", "tray"]
    script.touch()
    assert entry_text.login_command("aura", "pythonw") == [str(script)]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert entry_text.login_command("aura", "pythonw") == [str(script)]
    script.unlink()
    assert entry_text.login_command("aura", "pythonw") == [str(python)]


def test_a_relative_interpreter_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "python")
    assert entry_text.login_command("aura", "pythonw") == [str(tmp_path / "python"), "-P", "-m", "tray"]


def test_this_desktop_s_login_command_starts_with_a_program_that_exists() -> None:
    command = desktop.login_command()
    assert Path(command[0]).is_absolute()
    assert shutil.which(command[0])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own, and no desktop: no bus, no display."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def entry(home: Path) -> Path:
    return home / "config" / "autostart" / "aura-ollama.desktop"


def test_start_at_login_can_be_switched_on_and_off(entry: Path) -> None:
    assert not desktop.starts_at_login()
    desktop.start_at_login([sys.executable])
    assert desktop.starts_at_login()
    assert entry.is_file()
    desktop.start_at_login([sys.executable])
    assert desktop.starts_at_login()
    desktop.stop_at_login()
    assert not desktop.starts_at_login()
    desktop.stop_at_login()
    assert list(entry.parent.iterdir()) == []


def test_an_entry_whose_program_is_gone_does_not_start_us(entry: Path) -> None:
    desktop.start_at_login(["/nowhere/aura"])
    assert entry.is_file()
    assert not desktop.starts_at_login()


@pytest.mark.parametrize("stale", ["Hidden=true", "X-GNOME-Autostart-enabled=false", "[broken", ""])
def test_a_stale_entry_is_replaced(entry: Path, stale: str) -> None:
    entry.parent.mkdir(parents=True)
    entry.write_text(f"[Desktop Entry]\nExec={sys.executable}\n{stale}\n" * 5)
    desktop.start_at_login([sys.executable, "-m", "tray"])
    assert desktop.starts_at_login()
    assert exec_arguments(entry.read_text()) == [sys.executable, "-m", "tray"]


def test_a_relative_config_home_is_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    desktop.start_at_login([sys.executable])
    assert (home / ".config/autostart/aura-ollama.desktop").is_file()


def test_a_failed_write_keeps_the_old_entry_and_leaves_no_draft(entry: Path) -> None:
    desktop.start_at_login([sys.executable])
    before = entry.read_bytes()
    with pytest.raises(OSError, match=r"the path '/caf\\udce9'. Rename the folder"):
        desktop.start_at_login([sys.executable, "--data-dir", "/caf\udce9"])
    assert entry.read_bytes() == before
    assert list(entry.parent.iterdir()) == [entry]


@pytest.mark.parametrize("blocked", ["config", "config/autostart", "config/autostart/aura-ollama.desktop"])
@pytest.mark.parametrize("kind", ["file", "link to nowhere", "folder"])
def test_what_is_in_the_place_of_the_entry_is_told_in_words_with_the_way_out(
    home: Path, blocked: str, kind: str
) -> None:
    place = home / blocked
    place.parent.mkdir(parents=True, exist_ok=True)
    is_wrong = (kind == "folder") is (place.suffix == ".desktop")
    match kind:
        case "file":
            place.write_text("something")
        case "folder":
            place.mkdir()
        case _:
            place.symlink_to(home / "nowhere")
    if is_wrong:
        with pytest.raises(OSError, match=rf"^{place} is in the way: it is (no|a) folder\. Rename or remove it"):
            desktop.start_at_login([sys.executable])
        assert not desktop.starts_at_login()
    else:
        desktop.start_at_login([sys.executable])
        assert desktop.starts_at_login()
    if kind == "folder" and is_wrong:
        with pytest.raises(OSError, match="it is a folder"):
            desktop.stop_at_login()
    else:
        desktop.stop_at_login()
        assert not desktop.starts_at_login()


def test_an_autostart_folder_that_cannot_be_written_to_is_told_in_words_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bound_disk(tmp_path / "disk", "-r") as disk:
        (tmp_path / "disk-source" / "autostart").mkdir()
        entry = tmp_path / "disk-source" / "autostart" / "aura-ollama.desktop"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(disk.at))
        words = rf"^{disk.at}/autostart cannot be written to \(Read-only file system\)\. Give yourself"
        with pytest.raises(OSError, match=words):
            desktop.start_at_login([sys.executable])
        entry.write_text(entry_text.desktop_entry([sys.executable]))
        with pytest.raises(OSError, match=words):
            desktop.stop_at_login()
        assert desktop.starts_at_login()


def test_a_real_launcher_runs_the_entry_with_exactly_its_arguments(home: Path, entry: Path) -> None:
    """GLib, which GNOME, Xfce, Cinnamon and MATE start sessions with, reads it as we mean it."""
    gio = program("gio", "libglib2.0-bin")
    folder = home / NASTY.replace("/", "")
    folder.mkdir()
    script, said = folder / "aura ollama", home / "said"
    script.write_text(f'#!/bin/sh\nprintf "%s\\0" "$0" "$@" > {said}.new && mv {said}.new {said}\n')
    script.chmod(0o755)
    desktop.start_at_login([str(script), NASTY, ""])
    subprocess.run([gio, "launch", str(entry)], check=True, timeout=DEADLINE_SECONDS)
    eventually(said.exists, "the launcher ran it")
    assert said.read_bytes().decode().split("\0")[:-1] == [str(script), NASTY, ""]
    assert desktop.starts_at_login()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        time.sleep(0.01)


class Programs:
    """A PATH of this test's own: only the programs that the test puts there, and a shell for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, *lines: str) -> Path:
        """A shell script; its arguments, each ended by NUL, go to the returned file beside it."""
        said = self._folder / f"{name}.said"
        script = self._folder / name
        words = [f'printf "%s\\0" "$@" > {shlex.quote(str(said))}', *lines]
        script.write_text("\n".join(["#!/bin/sh", *words, ""]))
        script.chmod(0o755)
        return said


def arguments(said: Path) -> list[str]:
    return said.read_bytes().decode(errors="surrogateescape").split("\0")[:-1]


@pytest.fixture
def programs(home: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    folder = home / "bin"
    folder.mkdir()
    for name in ("cat", "sleep", "mkfifo"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    return Programs(folder)


def test_a_path_is_opened_by_xdg_open_exactly(programs: Programs, home: Path) -> None:
    said = programs.add("xdg-open")
    folder = home / NASTY.replace("/", "")
    folder.mkdir()
    assert desktop.open_path(str(folder))
    assert arguments(said) == [str(folder)]


def test_gio_opens_what_xdg_open_cannot(programs: Programs, home: Path) -> None:
    programs.add("xdg-open", "exit 3")
    said = programs.add("gio")
    assert desktop.open_path(str(home))
    assert arguments(said) == ["open", str(home)]


def test_nothing_is_opened_where_no_program_can(programs: Programs, home: Path) -> None:
    assert not desktop.open_path(str(home))
    programs.add("xdg-open", "exit 3")
    programs.add("gio", "exit 2")
    assert not desktop.open_path(str(home))


def test_a_path_that_is_not_there_is_not_opened(programs: Programs, home: Path) -> None:
    said = programs.add("xdg-open")
    assert not desktop.open_path(str(home / "gone"))
    assert not said.exists()


def test_a_web_address_is_opened_exactly(programs: Programs) -> None:
    said = programs.add("xdg-open")
    assert desktop.open_url("https://example.com/a?b=c&d#e")
    assert arguments(said) == ["https://example.com/a?b=c&d#e"]


@pytest.mark.parametrize("what", ["/etc/passwd", "file:///etc/passwd", "ftp://x", "-x", "https://", "https://x y", ""])
def test_what_is_no_web_address_is_not_opened(programs: Programs, what: str) -> None:
    said = programs.add("xdg-open")
    assert not desktop.open_url(what)
    assert not said.exists()


def test_a_viewer_that_stays_open_is_left_alone(programs: Programs, home: Path) -> None:
    """It counts as opened, holds nobody up, has a session of its own, and is reaped when it ends."""
    gate = home / "gate"
    os.mkfifo(gate)
    programs.add("xdg-open", f"echo $$ > {home}/pid", f"cat {gate} > /dev/null")
    began = time.monotonic()
    assert desktop.open_path(str(home))
    assert time.monotonic() - began < 3
    pid = int((home / "pid").read_text())
    assert os.getsid(pid) == pid
    gate.write_text("")
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the viewer was reaped")


def is_pasted(paste: list[str], text: str) -> bool:
    shown = subprocess.run(paste, capture_output=True, check=True, timeout=DEADLINE_SECONDS)
    return shown.stdout.decode() == text


@pytest.mark.parametrize("tool", list(PASTES))
def test_a_text_is_on_the_real_clipboard(tool: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = program(tool, tool)
    only = home / "bin"
    only.mkdir()
    (only / tool).symlink_to(real)
    with screen() as display:
        monkeypatch.setenv("DISPLAY", display)
        monkeypatch.setenv("PATH", str(only))
        for text in ("http://127.0.0.1:5006", NASTY):
            assert desktop.copy_text(text)
            # Both return while their child is still taking the clipboard over.
            eventually(partial(is_pasted, [real, *PASTES[tool]], text), "the text can be pasted")


def test_wayland_asks_its_own_copier_first_and_x11_last(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {name: programs.add(name, f"cat > {shlex.quote(name)}.text") for name in ("wl-copy", "xclip", "xsel")}
    monkeypatch.chdir(next(iter(asked.values())).parent)
    assert desktop.copy_text("for x")
    assert {name for name, said in asked.items() if said.exists()} == {"xclip"}
    asked["xclip"].unlink()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert desktop.copy_text("für wayland")
    assert {name for name, said in asked.items() if said.exists()} == {"wl-copy"}
    assert Path("wl-copy.text").read_text() == "für wayland"


def test_the_next_copier_is_asked_when_one_fails(programs: Programs) -> None:
    programs.add("xclip", "exit 1")
    assert not desktop.copy_text("x")
    said = programs.add("xsel", "cat > /dev/null")
    assert desktop.copy_text("x")
    assert arguments(said) == ["--clipboard", "--input"]


def test_nothing_is_copied_where_no_program_can(programs: Programs) -> None:
    assert not desktop.copy_text("x")


@pytest.mark.parametrize("name", [NASTY, " ends with a line\n", "caf\udce9"])
def test_the_chosen_file_is_returned_exactly(
    programs: Programs, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    answer = home / "answer"
    answer.write_bytes(os.fsencode(f"/chosen/{name}\n"))
    said = programs.add("zenity", f"cat {answer}")
    assert desktop.choose_file("Choose “it”", str(home)) == f"/chosen/{name}"
    assert arguments(said) == ["--file-selection", "--title=Choose “it”", f"--filename={home}/"]


def test_kde_asks_with_its_own_dialog(programs: Programs, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", "KDE")
    programs.add("zenity", "echo /by/zenity")
    said = programs.add("kdialog", "echo /by/kdialog")
    assert desktop.choose_file("-t", None) == "/by/kdialog"
    assert arguments(said) == ["--title", "-t", "--getopenfilename"]
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", "GNOME")
    assert desktop.choose_file("-t", None) == "/by/zenity"


def test_a_cancelled_dialog_chooses_nothing(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    programs.add("zenity", "exit 1")
    assert desktop.choose_file("x", None) is None


def test_a_dialog_that_breaks_is_an_os_error_with_its_words(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    programs.add("zenity", "echo no such option >&2", "exit 255")
    with pytest.raises(OSError, match="no such option"):
        desktop.choose_file("x", None)


def test_where_no_dialog_can_be_shown_a_sentence_says_so(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.add("zenity", "exit 1")
    with pytest.raises(FileNotFoundError, match="no display"):
        desktop.choose_file("x", None)
    monkeypatch.setenv("DISPLAY", ":0")
    (Path(os.environ["PATH"]) / "zenity").unlink()
    with pytest.raises(FileNotFoundError, match="install zenity or kdialog"):
        desktop.choose_file("x", None)


@dataclass(slots=True)
class Desk:
    """The other side of the bus: a notification daemon and a tray watcher, each only if it has its name."""

    capabilities: list[str] = field(default_factory=lambda: ["body"])
    has_host: bool = True
    is_mute: bool = False
    toasts: list[list[Any]] = field(default_factory=list)
    client: str = ""
    bus: MessageBus | None = None

    async def signal(self, member: str, signature: str, *body: object, to: str | None = None) -> None:
        """Send a signal of a notification daemon's, to all who listen or to one."""
        assert self.bus
        await self.bus.send(
            Message(
                destination=to,
                path="/org/freedesktop/Notifications",
                interface=NOTIFICATIONS,
                member=member,
                message_type=MessageType.SIGNAL,
                signature=signature,
                body=list(body),
            )
        )

    async def ping(self, peer: str) -> bool:
        """Whether that program answers, and so has read all that was sent to it from here before."""
        assert self.bus
        answer = await self.bus.call(Message(peer, "/", "org.freedesktop.DBus.Peer", "Ping"))
        return answer.message_type is MessageType.METHOD_RETURN

    def answer(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if self.is_mute:
            return True
        match message.interface, message.member:
            case (str(interface), "GetCapabilities") if interface == NOTIFICATIONS:
                return Message.new_method_return(message, "as", [self.capabilities])
            case (str(interface), "Notify") if interface == NOTIFICATIONS:
                assert message.signature == "susssasa{sv}i"
                self.toasts.append(message.body)
                self.client = message.sender or ""
                return Message.new_method_return(message, "u", [message.body[1] or 40 + len(self.toasts)])
            case ("org.freedesktop.DBus.Properties", "Get"):
                assert message.path == "/StatusNotifierWatcher"
                assert message.body == [WATCHER, "IsStatusNotifierHostRegistered"]
                return Message.new_method_return(message, "v", [Variant("b", self.has_host)])
        return None


@asynccontextmanager
async def served(address: str, desk: Desk, *names: str) -> AsyncIterator[Desk]:
    bus = await MessageBus(bus_address=address).connect()
    try:
        desk.bus = bus
        bus.add_message_handler(desk.answer)
        for name in names:
            await bus.request_name(name)
        yield desk
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


@pytest.fixture
def bus(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with session_bus() as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


async def test_a_toast_arrives_with_all_its_parts(bus: str, tmp_path: Path) -> None:
    async with served(bus, Desk(), NOTIFICATIONS) as desk:
        assert await asyncio.to_thread(
            desktop.notify, "Title & <co>", "Text: <nil> & \0\udce9", str(tmp_path / "a b.png")
        )
    icon = f"file://{tmp_path}/a%20b.png"
    hints = {"urgency": Variant("y", 1)}
    assert desk.toasts == [["Aura Ollama", 0, icon, "Title & <co>", "Text: <nil> & ?", [], hints, -1]]


async def test_a_plain_text_stays_plain_where_markup_is_read(bus: str) -> None:
    async with served(bus, Desk(["body", "body-markup"]), NOTIFICATIONS) as desk:
        assert await asyncio.to_thread(desktop.notify, "A <b>", '<b>"x"</b> & y', "aura-ollama")
    (toast,) = desk.toasts
    assert toast[2:5] == ["aura-ollama", "A <b>", '&lt;b&gt;"x"&lt;/b&gt; &amp; y']


@pytest.fixture
def notifications(bus: str) -> Iterator[desktop.Notifications]:
    """On that bus, closed at the end."""
    made = desktop.Notifications()
    yield made
    made.close()


async def shown(notifications: desktop.Notifications, note: desktop.Note) -> bool:
    return await asyncio.to_thread(notifications.show, note)


async def test_a_note_takes_the_place_of_the_last_with_its_topic(
    bus: str, notifications: desktop.Notifications
) -> None:
    async with served(bus, Desk(), NOTIFICATIONS) as desk:
        for topic in ("ollama", "answer", "ollama", "ollama"):
            assert await shown(notifications, desktop.Note("Title", "", topic))
        assert [toast[1] for toast in desk.toasts] == [0, 0, 41, 41]
        # Once a person has closed it there is none to take the place of.
        await desk.signal("NotificationClosed", "uu", 41, 2)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while desk.toasts[-1][1] != 0:
                assert await shown(notifications, desktop.Note("Title", "", "ollama"))


async def test_another_daemon_is_not_asked_to_replace_what_the_last_one_has_shown(
    bus: str, notifications: desktop.Notifications
) -> None:
    for _ in range(2):
        async with served(bus, Desk(), NOTIFICATIONS) as desk:
            assert await shown(notifications, desktop.Note("Title", ""))
            assert [toast[1] for toast in desk.toasts] == [0]
        assert not await shown(notifications, desktop.Note("Title", ""))


@pytest.mark.parametrize("urgency", desktop.Urgency)
async def test_a_note_has_its_urgency_and_a_button_only_where_buttons_are_shown(
    bus: str, notifications: desktop.Notifications, urgency: desktop.Urgency
) -> None:
    def note(button: str | None, *, opens: bool = True) -> desktop.Note:
        return desktop.Note("T", "x", urgency=urgency, button=button, on_open=(lambda: None) if opens else None)

    async with served(bus, Desk(["body", "actions"]), NOTIFICATIONS) as desk:
        for each in (note("Open log"), note(None), note(None, opens=False)):
            assert await shown(notifications, each)
    assert [toast[5] for toast in desk.toasts] == [["default", "Open", "open", "Open log"], ["default", "Open"], []]
    assert {toast[6]["urgency"].value for toast in desk.toasts} == {int(urgency)}
    async with served(bus, Desk(["body"]), NOTIFICATIONS) as desk:
        assert await shown(notifications, note("Open log"))
    assert [toast[5] for toast in desk.toasts] == [[]]


@pytest.mark.parametrize("key", ["default", "open"])
async def test_a_click_opens_what_the_newest_note_of_that_number_speaks_of(
    bus: str, notifications: desktop.Notifications, key: str
) -> None:
    clicks: queue.SimpleQueue[str] = queue.SimpleQueue()
    async with served(bus, Desk(["actions"]), NOTIFICATIONS) as desk:
        for name in ("first", "second"):
            note = desktop.Note("T", "x", on_open=partial(clicks.put, name), button="Open log")
            assert await shown(notifications, note)
        await desk.signal("ActionInvoked", "us", 41, "other")
        await desk.signal("ActionInvoked", "us", 7, key)
        await desk.signal("ActionInvoked", "us", 41, key)
        assert await asyncio.to_thread(clicks.get, timeout=DEADLINE_SECONDS) == "second"
        await desk.signal("NotificationClosed", "uu", 41, 2)
        await desk.signal("ActionInvoked", "us", 41, key)
        assert await shown(notifications, desktop.Note("T", "x", on_open=partial(clicks.put, "third")))
        number = desk.toasts[-1][1] or 40 + len(desk.toasts)
        await desk.signal("ActionInvoked", "us", number, key)
        assert await asyncio.to_thread(clicks.get, timeout=DEADLINE_SECONDS) == "third"


async def test_a_click_that_another_program_makes_up_is_none(bus: str, notifications: desktop.Notifications) -> None:
    clicks: queue.SimpleQueue[str] = queue.SimpleQueue()
    async with served(bus, Desk(["actions"]), NOTIFICATIONS) as desk, served(bus, Desk()) as stranger:
        assert await shown(notifications, desktop.Note("T", "x", on_open=partial(clicks.put, "real")))
        await stranger.signal("ActionInvoked", "us", 41, "default", to=desk.client)
        # On the bus what was sent first may come last, unless both came from one: this one tells that it was heard.
        assert await stranger.ping(desk.client)
        assert clicks.empty()
        await desk.signal("ActionInvoked", "us", 41, "default")
        assert await asyncio.to_thread(clicks.get, timeout=DEADLINE_SECONDS) == "real"


@pytest.mark.filterwarnings("error")
def test_without_a_bus_nothing_is_shown_and_that_is_known_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, one nobody listens at, and ones that no program can read."""
    began = time.monotonic()
    for address in ("", f"unix:path={home}/gone", "autolaunch:", "disabled:", "rubbish", "unix:"):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        assert not desktop.notify("x", "y"), address
        assert not desktop.session_has_tray(), address
    assert time.monotonic() - began < 1


def test_a_bus_where_nobody_shows_toasts_or_icons(bus: str) -> None:
    assert not desktop.notify("x", "y")
    assert not desktop.session_has_tray()


async def test_a_desktop_that_does_not_answer_is_waited_for_briefly(bus: str) -> None:
    async with served(bus, Desk(is_mute=True), NOTIFICATIONS, WATCHER):
        began = time.monotonic()
        assert not await asyncio.to_thread(desktop.session_has_tray)
        assert 0.5 < time.monotonic() - began < 1.2
        began = time.monotonic()
        assert not await asyncio.to_thread(desktop.notify, "x", "y")
        assert 1.5 < time.monotonic() - began < 2.6


def test_a_bus_that_takes_a_connection_and_says_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:  # type: ignore[attr-defined,unused-ignore]
        listener.bind(str(home / "mute"))
        listener.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/mute")
        began = time.monotonic()
        assert not desktop.session_has_tray()
        assert 0.5 < time.monotonic() - began < 1.2


def test_a_bus_that_hangs_up_shows_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:  # type: ignore[attr-defined,unused-ignore]
        listener.bind(str(home / "rude"))
        listener.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={home}/rude")
        rude = threading.Thread(target=lambda: listener.accept()[0].close())
        rude.start()
        assert not desktop.notify("x", "y")
        rude.join()


@pytest.mark.parametrize("has_host", [True, False])
async def test_a_tray_is_there_once_a_host_has_registered(bus: str, has_host: bool) -> None:
    async with served(bus, Desk(has_host=has_host), WATCHER):
        assert await asyncio.to_thread(desktop.session_has_tray) is has_host


async def test_the_bus_that_systemd_starts_is_found_without_being_told(
    bus: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the runtime folder, whatever its name."""
    runtime = home / "run, time;=é"
    runtime.mkdir()
    (runtime / "bus").symlink_to(bus.partition("unix:path=")[2].partition(",")[0])
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    async with served(bus, Desk(), WATCHER):
        assert await asyncio.to_thread(desktop.session_has_tray)


def test_an_x11_panel_is_a_tray(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with screen() as display:
        monkeypatch.setenv("DISPLAY", display)
        assert not desktop.session_has_tray()
        with panel(display):
            assert desktop.session_has_tray()
        eventually(lambda: not desktop.session_has_tray(), "the tray went with its panel")


@pytest.mark.parametrize("display", [":98765", "rubbish", "unix:x", "elsewhere.invalid:0", ":"])
def test_a_display_that_is_not_there_has_no_tray(home: Path, monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    monkeypatch.setenv("DISPLAY", display)
    began = time.monotonic()
    assert not desktop.session_has_tray()
    assert time.monotonic() - began < 1


def test_the_shim_s_seam_imports_none_of_this() -> None:
    """Nor the bus library: the shim stays small."""
    code = "import sys, core.platform; print([name for name in sys.modules if 'desktop' in name or 'dbus' in name])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=10)
    assert said.stdout.strip() == "[]"
