"""macOS: a launch agent of this user's desktop session, by launchctl. Contracts: `core.platform.service`."""

from __future__ import annotations

import os
import sys

from core.platform import launchd
from core.platform.desktop import entry_file
from core.platform.service import texts
from core.platform.service.mark import origin
from core.platform.service.state import Entry, Refused, State

assert sys.platform == "darwin"

MANAGER = "launchd"
LINGERS = (
    "It runs while you are logged in on the screen. Without a login only a launch daemon runs, which an administrator "
    "has to write: docs/macos.md"
)


def text(command: list[str], log: str) -> str:
    return texts.launch_agent(command, log)


def entry() -> Entry | None:
    try:
        with open(_path(), encoding="utf-8", errors="surrogateescape", newline="") as file:
            return Entry(_path(), origin(file.read()))
    except FileNotFoundError:
        return None


def put(text: str) -> None:
    entry_file.write(_path(), text.encode())
    try:
        # What is loaded stays as it was until it is loaded anew.
        launchd.bootout(_target())
        launchd.enable(_target())
        launchd.bootstrap(_domain(), _path())
        launchd.kickstart(_target())
    except launchd.Failed as error:
        raise Refused(str(error)) from error


def take_away() -> None:
    try:
        launchd.bootout(_target())
    except launchd.Failed as error:
        raise Refused(str(error)) from error
    entry_file.remove(_path())


def state() -> State:
    try:
        job = launchd.job(_target())
    except launchd.Failed as error:
        raise Refused(str(error)) from error
    if job is None:
        return State(False, False, None, "not loaded")
    return State(True, job.pid is not None, job.pid, job.state)


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _target() -> str:
    return f"{_domain()}/{texts.AGENT}"


def _path() -> str:
    return os.path.join(os.path.expanduser("~"), "Library", "LaunchAgents", f"{texts.AGENT}.plist")
