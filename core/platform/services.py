"""Which job of launchd, or which service of Windows, runs an Ollama. Elsewhere none does. Changes nothing.

Not part of `core.platform` itself, which the shim imports. Blocks for some tenths of a second where there is a launchd:
call it in a thread, and only for a process that has been found to listen. systemd's are in `core.platform.owner`.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

import psutil

from core.platform import EXECUTABLE_NAMES, launchd, service_control
from core.platform.owner import runs_ollama

_APP = "Ollama"
"""The program in Ollama.app, which runs `ollama serve` as its child."""
_CONSOLE = "conhost.exe"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs an Ollama alone. `words` name it for a person, `by_hand` says how to stop it by hand."""

    kind: str
    """As in the setting `owner`: `launchd` or `windows-service`."""
    name: str
    words: str
    by_hand: str


def service_of(pid: int) -> Service | None:
    """The service that runs that Ollama and nothing else, in its own process or as its child; None if there is none.

    An Ollama that somebody started in a terminal, over ssh or by a scheduled task descends from services, too, which
    are not its own.
    """
    try:
        parent = psutil.Process(pid).ppid()
        return _job(pid, parent) or _windows(pid, parent)
    except (psutil.Error, OSError):
        return None


def _job(pid: int, parent: int) -> Service | None:
    if not launchd.is_here():
        return None
    found = launchd.target_of((pid, parent))
    job = launchd.job(found) if found else None
    if found is None or job is None or job.pid is None:
        return None
    command = psutil.Process(job.pid).cmdline()
    if not (runs_ollama(command) or (command and os.path.basename(command[0]) == _APP)):
        return None
    # What a program has launchd run has no property list: each app that was opened, for one. Nobody could start it.
    if job.plist is None or not os.path.isfile(job.plist):
        return None
    domain, _, label = found.rpartition("/")
    sudo = "sudo " if domain == launchd.domains()[2] else ""
    return Service("launchd", label, f"launchd job {label}", f"Stop it with: {sudo}launchctl bootout {found}")


def _windows(pid: int, parent: int) -> Service | None:
    """Of an Ollama whose parent is the process of one service. No Ollama is a service by itself: a wrapper runs it."""
    names = service_control.services_of(parent)
    if len(names) != 1 or _name(psutil.Process(pid)) not in EXECUTABLE_NAMES:
        return None
    if any(child.pid != pid and _name(child) != _CONSOLE for child in psutil.Process(parent).children()):
        return None
    # In PowerShell `sc` is another command.
    command = subprocess.list2cmdline(["sc.exe", "stop", names[0]])
    by_hand = f"Stop it in a terminal opened with `Run as administrator`: {command}"
    return Service("windows-service", names[0], f"Windows service {names[0]}", by_hand)


def _name(process: psutil.Process) -> str:
    try:
        return process.name().lower()
    except (psutil.Error, OSError):
        # Wine names no process.
        return os.path.basename((process.cmdline() or [""])[0]).lower()
