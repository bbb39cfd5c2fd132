"""Who runs a process: a container's engine, or systemd. Linux only; elsewhere nobody is known.

Not part of `core.platform` itself, which the shim imports and which therefore stays small.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import psutil

from core.platform import cgroup
from core.platform.cgroup import Container, Unit

_COMMAND = re.compile(r"""(?:^|[\s/;&|("'])ollama(?=$|[\s;&|)"'])""")


def owner(pid: int) -> Container | Unit | None:
    """The container of a process, or the service that is there for Ollama alone; None if it has neither.

    A service counts only if all that systemd started for it is an Ollama by its command: whoever stops `docker.service`
    or `ssh.service` stops more than he wants. Reads the table of processes: call it in a thread.
    """
    text = _cgroup(pid)
    if container := cgroup.container(text):
        # If we are inside as well, then what is asked about is one of our neighbours there.
        return None if container == cgroup.container(_cgroup("self")) else container
    unit = cgroup.unit(text)
    return unit if unit and all(runs_ollama(command) for command in _started_for(unit)) else None


def runs_ollama(command: Sequence[str]) -> bool:
    """Whether a command line runs Ollama, by itself or by a shell."""
    return any(_COMMAND.search(argument) for argument in command)


def _started_for(unit: Unit) -> list[list[str]]:
    """The command lines of those in a service whose parents are not: what systemd started for it, and orphans."""
    members: dict[int, tuple[int, list[str]]] = {}
    for pid in psutil.pids():
        if cgroup.unit(_cgroup(pid)) != unit:
            continue
        try:
            process = psutil.Process(pid)
            members[pid] = process.ppid(), process.cmdline()
        except (psutil.Error, OSError):
            continue
    # A zombie has no command line left.
    return [command for parent, command in members.values() if parent not in members and command]


def _cgroup(pid: int | str) -> str:
    # Other systems than Linux have no such file.
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
