"""macOS: a LaunchAgent, AppleScript and the clipboard's own programs. Contracts: `core.platform.desktop`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from core.platform.desktop import dialogs, entry_file, entry_text
from core.platform.desktop.note import Note

assert sys.platform == "darwin"

_SECONDS = 2.0
_USER_CANCELLED = b"(-128)"
# Texts of ours reach a script as arguments: no character of theirs can end a string in it.
_CHOOSE = b"""
on run argv
    tell me to activate
    if (count of argv) > 1 then
        set chosen to choose file with prompt (item 1 of argv) default location (POSIX file (item 2 of argv))
    else
        set chosen to choose file with prompt (item 1 of argv)
    end if
    return POSIX path of chosen
end run
"""
_NOTIFY = b"""
on run argv
    display notification (item 2 of argv) with title (item 1 of argv)
end run
"""


def _agent_path() -> str:
    return os.path.join(os.path.expanduser("~"), "Library", "LaunchAgents", f"{entry_text.LAUNCH_AGENT}.plist")


def login_command() -> list[str]:
    return entry_text.login_command("aura-ollama", os.path.basename(sys.executable))


def starts_at_login() -> bool:
    try:
        with open(_agent_path(), "rb") as file:
            program = entry_text.launch_agent_program(file.read())
    except OSError:
        return False
    return program is not None and shutil.which(program) is not None


def start_at_login(command: Sequence[str], icon: str | None = None) -> None:
    # launchd reads the file at the next login. Loading it now would start a second instance at once.
    try:
        text = entry_text.launch_agent(command)
    except ValueError as error:
        raise OSError(entry_text.not_text(command)) from error
    entry_file.write(_agent_path(), text)


def stop_at_login() -> None:
    # Not unloaded: if launchd started us, that would end us.
    entry_file.remove(_agent_path())


def open_path(path: str) -> bool:
    return _run(["/usr/bin/open", os.path.abspath(path)]) is not None


def open_url(url: str) -> bool:
    return entry_text.is_web_address(url) and _run(["/usr/bin/open", url]) is not None


def copy_text(text: str) -> bool:
    # Without a locale, as a program started from the Finder, pbcopy would read MacRoman.
    environment = {**os.environ, "LC_ALL": "en_US.UTF-8"}
    return _run(["/usr/bin/pbcopy"], text.encode("utf-8", "surrogateescape"), environment) is not None


def choose_file(title: str, folder: str | None = None) -> str | None:
    command = ["/usr/bin/osascript", "-", title, *([os.path.abspath(folder)] if folder else [])]
    answer = dialogs.ask(command, _CHOOSE)
    if answer is None:
        return None
    if answer.returncode == 0:
        return os.fsdecode(answer.stdout.removesuffix(b"\n")) or None
    if _USER_CANCELLED in answer.stderr:
        return None
    raise OSError(f"The file dialog failed: {os.fsdecode(answer.stderr).strip()}")


def close_dialogs() -> None:
    dialogs.close_all()


def notify(title: str, text: str, icon: str = "") -> bool:
    return _run(["/usr/bin/osascript", "-", title, text], _NOTIFY) is not None


class Notifications:
    def show(self, note: Note) -> bool:
        return notify(note.title, note.text, note.icon)

    def close(self) -> None:
        return


def alert(title: str, text: str) -> bool:
    return False


def has_screen() -> bool:
    return True


def session_has_tray() -> bool:
    return True


def _run(
    command: list[str], text: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes] | None:
    """The ended program, or None if it failed or took more than 2 s."""
    try:
        return subprocess.run(
            command,
            input=text,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
