"""Whose process holds a port, in words, and how to end it by hand. Only looks."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.endpoint import Endpoint
from core.platform import EXECUTABLE_NAMES, sockets

_WILDCARDS = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - looked for, not bound to
_BY_ITS_OWNER = "Stop it as the user who started it."
_CONTAINER = re.compile(r"(?:docker|libpod|crio|cri-containerd|containerd)[-/:]([0-9a-f]{12})[0-9a-f]*")
_SERVICE = re.compile(r"/([^/]+\.service)(?:/|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who holds a port. `pid` is None where the system does not let us see (another user's process, macOS, Wine)."""

    pid: int | None
    owner: str
    by_hand: str
    executable: Path | None = None
    """The program that runs there, None if it may not be known or lies in a container's own file system."""

    @property
    def is_ollama(self) -> bool:
        """Whether its program bears Ollama's name, which says who is there while nothing answers."""
        return self.executable is not None and os.path.normcase(self.executable.name) in EXECUTABLE_NAMES


def find_listener(endpoint: Endpoint) -> Listener | None:
    """Who listens at a local endpoint, None if nobody does. Reads the whole socket table: call it in a thread."""
    addresses = _WILDCARDS | _addresses(endpoint.host)
    pids = {pid for address, pid in sockets.listening(endpoint.port) if address in addresses}
    if not pids:
        return None
    known = sorted(pid for pid in pids if pid)
    return describe(known[0]) if known else Listener(None, "unknown (another user)", _BY_ITS_OWNER)


def _addresses(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return {host}
    literal = {str(row[4][0]) for row in found}
    return literal | {f"::ffff:{text}" for text in literal if "." in text}


def describe(pid: int) -> Listener:
    """Say in words whose process that is and how to stop it by hand. Tolerates that it ends meanwhile."""
    name, user = _name_and_user(pid)
    label = f"{name or 'a process'} (pid {pid}{f', user {user}' if user else ''})"
    cgroup = _cgroup(pid)
    unit, container = unit_and_container(cgroup)
    if container:
        return Listener(pid, f"container {container} ({label})", f"Stop it with: docker stop {container}")
    if unit:
        systemctl = "systemctl --user" if "/user@" in cgroup else "sudo systemctl"
        by_hand = f"Stop it with: {systemctl} stop {unit}"
        return Listener(pid, f"system service {unit} ({label})", by_hand, _executable(pid))
    if app := _desktop_app(pid):
        return Listener(pid, f"Ollama's own desktop app ({label})", f"Quit {app} from its icon.", _executable(pid))
    return Listener(pid, label, f"Stop process {pid} where it was started.", _executable(pid))


def _executable(pid: int) -> Path | None:
    try:
        return Path(found) if (found := psutil.Process(pid).exe()) else None
    except (psutil.Error, OSError):
        return None


def _name_and_user(pid: int) -> tuple[str | None, str | None]:
    try:
        process = psutil.Process(pid)
        name = process.name()
    except (psutil.Error, OSError):
        return None, None
    try:
        return name, process.username()
    except (psutil.Error, OSError, KeyError):
        return name, None


def _cgroup(pid: int) -> str:
    # Other systems than Linux have no such file.
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return ""


def unit_and_container(text: str) -> tuple[str | None, str | None]:
    """The systemd service and the container, short id, that a `/proc/PID/cgroup` names: cgroups(7)."""
    container = _CONTAINER.search(text)
    units = [unit for unit in _SERVICE.findall(text) if not unit.startswith("user@")]
    return (units[-1] if units else None), (container[1] if container else None)


def _desktop_app(pid: int) -> str | None:
    # On Windows the parent is `ollama app.exe`, on macOS the program inside Ollama.app.
    try:
        parent = psutil.Process(pid).parent()
        parent_name = parent.name() if parent else ""
    except (psutil.Error, OSError):
        return None
    return "Ollama" if parent_name in {"ollama app.exe", "Ollama"} else None
