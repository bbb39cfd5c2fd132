"""The texts of start-at-login entries of all three systems, written and parsed. Pure.

And which addresses may be handed to a desktop. For this room only, whose modules know where each entry is stored.
"""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Sequence
from xml.parsers.expat import ExpatError

LAUNCH_AGENT = "studio.aura.ollama"
# Windows ignores a longer value below its Run key.
RUN_VALUE_LIMIT = 260

_GROUP = "[Desktop Entry]"
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
# GLib searches for the program before it expands `%%`, so a program with a percent sign in its path is not found.
# `sh` as the program, with the path as an argument, avoids that.
_THROUGH_SHELL = ["/bin/sh", "-c", 'exec "$0" "$@"']
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)|"', re.DOTALL)

_WEB_ADDRESS = re.compile(r"https?://[!-~]+")


def is_web_address(text: str) -> bool:
    """Whether that is an http or https address, percent-encoded. A desktop takes a path, or `ms-settings:`, as well."""
    return _WEB_ADDRESS.fullmatch(text) is not None


def login_command(script: str, interpreter: str) -> list[str]:
    """The command that starts this very program, with absolute paths.

    It is the file `script` beside the interpreter or the frozen program; a frozen program without one names itself.
    Otherwise it is `-P -m tray` with `interpreter` from the same folder (the running one if that is missing). Links are
    not resolved, because a virtual environment's interpreter is a link. Without `-P`, Python would prefer a folder
    `tray` in the session's home folder.
    """
    executable = os.path.abspath(sys.executable)
    folder = os.path.dirname(executable)
    beside, quiet = os.path.join(folder, script), os.path.join(folder, interpreter)
    if os.path.isfile(beside):
        return [beside]
    if getattr(sys, "frozen", False):
        return [executable]
    return [quiet if os.path.isfile(quiet) else executable, "-P", "-m", "tray"]


def desktop_entry(command: Sequence[str], icon: str | None = None) -> str:
    """An XDG autostart file that runs `command`, by the Desktop Entry Specification 1.5."""
    arguments = [*_THROUGH_SHELL, *command] if "%" in command[0] else command
    lines = [
        _GROUP,
        "Type=Application",
        "Name=Aura Ollama",
        "Comment=Starts, watches and stops Ollama for Aura Video Studio",
        f"Exec={_escape(' '.join(map(_quote_argument, arguments)))}",
        *([f"Icon={_escape(icon)}"] if icon else []),
        "Terminal=false",
        "X-GNOME-Autostart-enabled=true",
    ]
    return "\n".join(lines) + "\n"


def not_text(command: Sequence[str]) -> str:
    """What to tell of a command with an argument that no entry can hold: bytes that are no UTF-8, or a control sign."""
    wrong = next((each for each in command if not each.isprintable()), command[0])
    return f"No session starts anything by the path {wrong!r}. Rename the folder that has such a name, and try again."


def _quote_argument(argument: str) -> str:
    # Four characters keep a meaning inside quotes; a percent sign begins a field code anywhere.
    return '"' + re.sub(r'(["`$\\])', r"\\\1", argument).replace("%", "%%") + '"'


def _escape(value: str) -> str:
    """Escape a string value of a desktop entry. A leading space becomes `\\s`, since readers skip it otherwise."""
    escaped = "".join(_ESCAPES.get(character, character) for character in value)
    return "\\s" + escaped[1:] if escaped.startswith(" ") else escaped


def desktop_entry_program(text: str) -> str | None:
    """The program that an autostart file would run; None if it is switched off, or runs nothing."""
    entry = _group(text)
    if entry.get("Hidden") == "true" or entry.get("X-GNOME-Autostart-enabled") == "false":
        return None
    exec_value = re.sub(r"\\([sntr\\])", lambda found: _UNESCAPES[found[1]], entry.get("Exec", ""))
    found = list(_ARGUMENT.finditer(exec_value))
    if any(each[0] == '"' for each in found):
        # An unmatched quote is invalid, and no session runs such an entry.
        return None
    arguments = list(map(_unquote_argument, found))
    if arguments[: len(_THROUGH_SHELL)] == _THROUGH_SHELL:
        del arguments[: len(_THROUGH_SHELL)]
    return arguments[0] if arguments else None


def _unquote_argument(found: re.Match[str]) -> str:
    quoted, plain = found.groups()
    argument: str = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    return argument.replace("%%", "%")


def _group(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    is_ours = False
    for line in text.split("\n"):
        if line.startswith("["):
            is_ours = line.strip() == _GROUP
        elif is_ours and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key.strip()] = value.strip()
    return found


def launch_agent(command: Sequence[str]) -> bytes:
    """A LaunchAgent that runs `command` once, as soon as this user has a desktop.

    Raises ValueError for a text that no property list can hold, such as a control character.
    """
    return plistlib.dumps(
        {
            "Label": LAUNCH_AGENT,
            "ProgramArguments": list(command),
            "RunAtLoad": True,
            "ProcessType": "Interactive",
            "LimitLoadToSessionType": "Aqua",
        }
    )


def launch_agent_program(text: bytes) -> str | None:
    """The program that a LaunchAgent would run; None if it is switched off, or runs nothing, or cannot be read."""
    try:
        agent = plistlib.loads(text)
    except (ValueError, ExpatError):
        return None
    if not isinstance(agent, dict) or agent.get("Disabled") or not agent.get("RunAtLoad"):
        return None
    match agent.get("ProgramArguments"):
        case [str(program), *_]:
            return program
    return None


def run_value(command: Sequence[str]) -> str:
    """The command line for Windows' Run key. Raises ValueError if it is longer than Windows reads."""
    value = subprocess.list2cmdline(command)
    if len(value) > RUN_VALUE_LIMIT:
        raise ValueError(
            f"Windows starts no command of more than {RUN_VALUE_LIMIT} characters at login, and this one has "
            f"{len(value)}: {value}. Choose a data folder, or a place for the program, with a shorter path."
        )
    return value


def run_value_program(value: str) -> str | None:
    """The program of a Windows command line, by CreateProcess's rule for the first argument; None for an empty one."""
    found = re.match(r'\s*(?:"([^"]*)"?|(\S+))', value)
    return (found[1] or found[2]) if found else None
