"""What a `/proc/PID/cgroup` of Linux tells: the container or the systemd service that a process belongs to. Pure.

The texts are those of cgroups(7), version 1, 2 and both at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Engine(Enum):
    """Who runs a container, by the name of the command that controls it."""

    DOCKER = "docker"
    PODMAN = "podman"
    NERDCTL = "nerdctl"
    KUBERNETES = "crictl"
    """Anything that speaks the Container Runtime Interface, inside a pod or not."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its short id. `is_rootless` means that a user's own engine runs it, not root's."""

    engine: Engine
    id: str
    is_rootless: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd service. `is_user` means that it belongs to a user's own manager, not to the system's."""

    name: str
    is_user: bool = False


_ENGINES = {
    "docker": Engine.DOCKER,
    "libpod": Engine.PODMAN,
    "nerdctl": Engine.NERDCTL,
    "crio": Engine.KUBERNETES,
    "cri-containerd": Engine.KUBERNETES,
}
# Podman keeps the watcher (conmon) and, in a service of its own, the payload under names of their own; the watcher is
# what holds a published port.
_CONTAINER = re.compile(
    r"(?:(?:.*:)?(?P<engine>docker|libpod|nerdctl|crio|cri-containerd)(?:-payload|-conmon)?[-:])?"
    r"(?P<id>[0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?"
)
_SYSTEMDS = ("name=systemd", "")
"""The hierarchies in which systemd keeps its units, by their controllers: version 1, and version 2, which has none."""
_USER_MANAGER = re.compile(r"user@[0-9]+\.service")


def container(text: str) -> Container | None:
    """The container that the process is in, None if it is in none that is known.

    Of containers inside each other it is the outer one, which this machine's engine knows, or the one inside a pod.
    """
    for _, path in _hierarchies(text):
        parts = path.split("/")
        is_rootless = any(_USER_MANAGER.fullmatch(part) for part in parts)
        pod = next((place for place, part in enumerate(parts) if part.startswith("kubepods")), None)
        for place, part in enumerate(parts[pod or 0 :], start=pod or 0):
            found = _CONTAINER.fullmatch(part)
            if found is None:
                continue
            if pod is not None:
                return Container(Engine.KUBERNETES, found["id"], is_rootless)
            if found["engine"] or parts[place - 1] == "docker":
                return Container(_ENGINES[found["engine"] or "docker"], found["id"], is_rootless)
    return None


def unit(text: str) -> Unit | None:
    """The service that the process is in, None if it is in none: a session or a desktop's scope, for one."""
    for controllers, path in _hierarchies(text):
        if controllers in _SYSTEMDS:
            return _innermost_service(path)
    return None


def _innermost_service(path: str) -> Unit | None:
    is_user = False
    found = None
    for part in path.split("/"):
        if _USER_MANAGER.fullmatch(part):
            is_user, found = True, None
        elif part.endswith(".scope"):
            found = None
        elif part.endswith(".service"):
            found = Unit(part, is_user)
    return found


def _hierarchies(text: str) -> list[tuple[str, str]]:
    """Controllers and path of each line, systemd's own first: the others of version 1 need not follow it."""
    rows = [line.split(":", 2) for line in text.splitlines()]
    found = [(row[1], row[2]) for row in rows if len(row) == 3]
    return sorted(found, key=lambda row: _SYSTEMDS.index(row[0]) if row[0] in _SYSTEMDS else len(_SYSTEMDS))
