"""Linux: a unit of systemd's user manager, by `systemctl --user`. Contracts: `core.platform.service`.

The user manager runs from a user's first login to the last logout and ends all that it runs then, or from boot on
where lingering is enabled: loginctl(1).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from core.platform.desktop import entry_file
from core.platform.service import texts
from core.platform.service.mark import origin
from core.platform.service.state import Entry, Refused, State

assert sys.platform == "linux"

MANAGER = "systemd's user manager"
LINGERS = (
    "It runs while you are logged in, and so does an Ollama that it starts. For both to run from boot on and after "
    "logout: loginctl enable-linger"
)
# Longer than the unit's own limits for start and stop.
_SECONDS = 90.0
_ASK_SECONDS = 10.0
_NO_MANAGER = (
    "systemd's user manager cannot be asked ({why}). It runs for a user who has logged in, not for one that was "
    "switched to by su or sudo. Log in as that user, or have it run from boot on: loginctl enable-linger USER"
)


def text(command: list[str], log: str) -> str:
    return texts.systemd_unit(command)


def entry() -> Entry | None:
    place = _show("FragmentPath").get("FragmentPath") or _path()
    try:
        with open(place, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return Entry(place, origin(file.read()))
    except FileNotFoundError:
        return None


def put(text: str) -> None:
    entry_file.write(_path(), text.encode())
    _systemctl("daemon-reload")
    found = _show("FragmentPath").get("FragmentPath")
    if found != _path():
        raise Refused(f"systemd takes {texts.UNIT} from {found or 'nowhere'}, and not from {_path()}. Remove that one.")
    _systemctl("enable", texts.UNIT)
    _systemctl("reset-failed", texts.UNIT, may_fail=True)
    _systemctl("restart", texts.UNIT)


def take_away() -> None:
    _systemctl("disable", "--now", texts.UNIT)
    entry_file.remove(_path())
    _systemctl("daemon-reload")
    _systemctl("reset-failed", texts.UNIT, may_fail=True)


def state() -> State:
    found = _show("UnitFileState", "ActiveState", "SubState", "Result", "MainPID")
    pid = int(found.get("MainPID") or 0)
    words = [found.get("ActiveState", ""), f"({found.get('SubState', '')})"]
    if found.get("Result", "success") != "success":
        words.append(f"after {found['Result']}")
    return State(found.get("UnitFileState") == "enabled", pid > 0, pid or None, " ".join(words), _lingers())


def _path() -> str:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG Base Directory Specification says to ignore relative paths.
    if not os.path.isabs(folder):
        folder = os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "systemd", "user", texts.UNIT)


def _lingers() -> bool | None:
    # Where there is no logind to ask, nobody lingers by it.
    answer = _run(["loginctl", "show-user", str(os.getuid()), "--property=Linger", "--value"], _ASK_SECONDS)
    return None if answer.returncode else answer.stdout.strip() == "yes"


def _show(*properties: str) -> Mapping[str, str]:
    answer = _systemctl("show", *(f"--property={name}" for name in properties), texts.UNIT)
    return dict(line.partition("=")[::2] for line in answer.splitlines() if "=" in line)


def _systemctl(*arguments: str, may_fail: bool = False) -> str:
    answer = _run(["systemctl", "--user", "--no-ask-password", *arguments], _SECONDS)
    if answer.returncode and not may_fail:
        said = answer.stderr.strip()
        if "bus" in said:
            raise Refused(_NO_MANAGER.format(why=said))
        raise Refused(f"`systemctl --user {' '.join(arguments)}` failed: {said}")
    return answer.stdout


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    # What PAM sets at a login is missing after su(1), while the manager may well be there.
    runtime = f"/run/user/{os.getuid()}"
    if not environment.get("XDG_RUNTIME_DIR") and os.path.isdir(runtime):
        environment["XDG_RUNTIME_DIR"] = runtime
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise Refused(f"There is no {command[0]} here: this system has no systemd, and so no service of it.") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(
            f"{command[0]} did not answer within {seconds:g} s. Look with: systemctl --user status"
        ) from error
