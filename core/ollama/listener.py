"""Whose process holds a port, in words, and how to end it by hand. Changes nothing."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from core.endpoint import WILDCARDS, Endpoint
from core.ollama.container_name import name_at, name_of
from core.ollama.publishers import engine_of, is_publisher
from core.platform import EXECUTABLE_NAMES, sockets
from core.platform.cgroup import Container, Engine, Machine, Unit
from core.platform.owner import container_of, owner
from core.platform.services import service_of
from core.settings.owner import parse

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_BY_ITS_OWNER = "Stop it as the user who started it."

_CONTROLLED = frozenset({Engine.DOCKER, Engine.PODMAN})


@dataclass(frozen=True, slots=True)
class Listener:
    """Who holds a port. `pid` is None where the system hides it (another user's process, macOS, Wine)."""

    pid: int | None
    owner: str
    by_hand: str
    executable: Path | None = None
    """The program that runs there, None if we may not know it, or if it is in a container's file system."""
    offer: str | None = None
    """What `owner` in the settings would have to be for us to control it; None if nothing would do."""

    @property
    def is_ollama(self) -> bool:
        """Whether the program has Ollama's name. It tells who holds the port even if nothing answers."""
        return self.executable is not None and os.path.normcase(self.executable.name) in EXECUTABLE_NAMES


def find_listener(endpoint: Endpoint) -> Listener | None:
    """The listener at a local endpoint, None if there is none. Reads the whole socket table: call it in a thread."""
    pids = {pid for address, pid in sockets.listening(endpoint.port) if _answers(address, endpoint.host)}
    if not pids:
        return None
    known = sorted(pid for pid in pids if pid)
    return describe(known[0], endpoint.port) if known else Listener(None, "unknown (another user)", _BY_ITS_OWNER)


def _answers(address: str, host: str) -> bool:
    """Whether a socket that listens at `address` gets connections to `host`, or keeps an Ollama from binding it."""
    if host in WILDCARDS or address in WILDCARDS:
        return True
    plain = address.removeprefix("::ffff:")
    return plain in _LOOPBACK if host == "localhost" or host.endswith(".localhost") else plain == host


def describe(pid: int, port: int) -> Listener:
    """Say in words whose process `pid` is, which holds `port`, and how to stop it by hand. It may end meanwhile."""
    name, user = _name_and_user(pid)
    label = f"{name or 'a process'} (pid {pid}{f', user {user}' if user else ''})"
    # A helper in a control group of its container's is told by that, which needs no engine.
    if name and is_publisher(name) and not container_of(pid) and (found := _published(pid, port, name, label)):
        return found
    match owner(pid):
        case Container(engine=Engine.KUBERNETES, id=id):
            by_hand = f"Scale its pod down, or stop it on this machine with: sudo crictl stop {id}"
            return Listener(pid, f"container {id} of Kubernetes ({label})", by_hand)
        case Container() as container:
            # Members of the group `docker` control root's Docker without sudo; Podman has no such group.
            sudo = "sudo " if container.engine is not Engine.DOCKER and not container.is_rootless else ""
            by_hand = f"Stop it with: {sudo}{container.engine.value} stop {container.id}"
            offer = _offer(name_of(container.id)) if container.engine in _CONTROLLED else None
            return Listener(pid, f"container {container.id} ({label})", by_hand, offer=offer)
        case Machine() as machine:
            kind = "LXC container" if machine.is_lxc else "machine"
            # What `pid` and user mean in there is another matter.
            return Listener(pid, f"{kind} {machine.name} ({label})", f"Stop it inside the {kind} {machine.name}.")
        case Unit() as unit:
            whose, systemctl = ("user", "systemctl --user") if unit.is_user else ("system", "sudo systemctl")
            by_hand = f"Stop it with: {systemctl} stop {shlex.quote(unit.name)}"
            offer = f"{'systemd-user' if unit.is_user else 'systemd'}:{unit.name}"
            return Listener(pid, f"{whose} service {unit.name} ({label})", by_hand, _executable(pid), offer)
        case None:
            pass
    if service := service_of(pid):
        offer = _checked(f"{service.kind}:{service.name}")
        return Listener(pid, f"{service.words} ({label})", service.by_hand, _executable(pid), offer)
    if app := _desktop_app(pid):
        return Listener(pid, f"Ollama's own desktop app ({label})", f"Quit {app} from its icon.", _executable(pid))
    return Listener(pid, label, f"Stop process {pid} where it was started.", _executable(pid))


def _published(pid: int, port: int, name: str, label: str) -> Listener | None:
    """What a helper of that name holds for a container; None if it may hold it for something else."""
    engine, container = engine_of(name), name_at(port)
    offer = _offer(container)
    if engine is None and container is None:
        return None
    if engine is None:
        by_hand = f"Stop it with: docker stop {container}, or podman stop {container}"
        return Listener(pid, f"a container, by {label}", by_hand, offer=offer)
    by_hand = f"Find it with: {engine.value} ps --filter status=running, and stop it with: {engine.value} stop NAME"
    if container:
        by_hand = f"Stop it with: {engine.value} stop {shlex.quote(container)}"
    elif engine is Engine.DOCKER:
        by_hand = f"Stop it with: docker stop $(docker ps --quiet --filter publish={port})"
    return Listener(pid, f"a {engine.value} container, by {label}", by_hand, offer=offer)


def _offer(container: str | None) -> str | None:
    return f"container:{container}" if container else None


def _checked(offer: str) -> str | None:
    """None for a name that the setting does not take."""
    with suppress(ValueError):
        parse(offer)
        return offer
    return None


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


def _desktop_app(pid: int) -> str | None:
    """The name of the desktop app that started it, None if none did.

    On Windows the parent is `ollama app.exe`, on macOS the program inside Ollama.app.
    """
    try:
        parent = psutil.Process(pid).parent()
        parent_name = parent.name() if parent else ""
    except (psutil.Error, OSError):
        return None
    return "Ollama" if parent_name in {"ollama app.exe", "Ollama"} else None
