"""Parses `/proc/PID/cgroup` of Linux: the container, machine or systemd service that a process belongs to. Pure.

The format is that of cgroups(7): version 1, version 2, and both at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Engine(Enum):
    """A container engine, by the name of its command."""

    DOCKER = "docker"
    PODMAN = "podman"
    NERDCTL = "nerdctl"
    KUBERNETES = "crictl"
    """Anything that speaks the Container Runtime Interface, inside a pod or not."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its short id. `is_rootless`: it is run by a user's own engine, not by root's."""

    engine: Engine
    id: str
    is_rootless: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """A system inside this one, with services of its own: of LXC, or one that systemd-machined knows, as nspawn's."""

    name: str
    is_lxc: bool = False


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd service. `is_user`: it belongs to a user's own service manager, not to the system's."""

    name: str
    is_user: bool = False


_ENGINES = {
    "docker": Engine.DOCKER,
    "libpod": Engine.PODMAN,
    "nerdctl": Engine.NERDCTL,
    "crio": Engine.KUBERNETES,
    "cri-containerd": Engine.KUBERNETES,
}
# Podman has cgroups of their own for the monitor (conmon), which holds a published port, and for the payload.
_CONTAINER = re.compile(
    r"(?:(?:.*:)?(?P<engine>docker|libpod|nerdctl|crio|cri-containerd)(?:-payload|-conmon)?[-:])?"
    r"(?P<id>[0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?"
)
# The machine's name follows, as pam_cgfs and liblxc write it: at once, or as the next part of the path.
_LXC = re.compile(r"lxc(?:\.(?:payload|monitor))?")
_LXC_NAMED = re.compile(r"lxc\.(?:payload|monitor)\.(?P<name>.+)")
# systemd-machined(8) and systemd-nspawn@.service.
_MACHINED = re.compile(r"machine-(?P<scope>.+)\.scope|systemd-nspawn@(?P<service>.+)\.service")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
_SYSTEMDS = ("name=systemd", "")
"""The hierarchies in which systemd keeps its units, by their controllers: version 1, and version 2, which has none."""
_USER_MANAGER = re.compile(r"user@[0-9]+\.service")


def container(text: str) -> Container | None:
    """The container of the process, None if it is in no known one.

    Of nested containers the outer one, which this machine's engine knows; in a pod the container inside it.
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


def machine(text: str) -> Machine | None:
    """The outermost machine inside this one that the process is in, None if it is in none or in one of a container."""
    for _, path in _hierarchies(text):
        above = ""
        for part in path.split("/"):
            if _CONTAINER.fullmatch(part):
                break
            if found := _LXC_NAMED.fullmatch(part):
                return Machine(found["name"], is_lxc=True)
            if _LXC.fullmatch(above) and part:
                return Machine(part, is_lxc=True)
            if found := _MACHINED.fullmatch(part):
                return Machine(_ESCAPED.sub(lambda byte: chr(int(byte[1], 16)), found["scope"] or found["service"]))
            above = part
    return None


def unit(text: str) -> Unit | None:
    """The service of the process, None if it is in none, as in a login session or a desktop's scope.

    None as well for a process outside the part of the hierarchy that is visible here: another systemd runs that one.
    """
    # A root says nothing: with a systemd of its own, a container may see it in version 1 and the unit in version 2.
    paths = (
        path
        for controllers, path in _hierarchies(text)
        if controllers in _SYSTEMDS and path.strip("/") and not path.startswith("/..")
    )
    is_user = False
    found = None
    # The innermost service or scope counts.
    for part in next(paths, "").split("/"):
        if _USER_MANAGER.fullmatch(part):
            is_user, found = True, None
        elif part.endswith(".scope"):
            found = None
        elif part.endswith(".service"):
            found = Unit(part, is_user)
    return found


def _hierarchies(text: str) -> list[tuple[str, str]]:
    """Controllers and path of each line, systemd's own hierarchy first. In version 1 the others may differ from it."""
    rows = [line.split(":", 2) for line in text.splitlines()]
    found = [(row[1], row[2]) for row in rows if len(row) == 3]
    return sorted(found, key=lambda row: _SYSTEMDS.index(row[0]) if row[0] in _SYSTEMDS else len(_SYSTEMDS))
