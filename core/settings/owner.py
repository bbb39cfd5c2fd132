"""What `owner` in our settings may say: by what an Ollama is run and controlled. Pure.

The text is `process`, or a kind and what it is to control: `systemd:ollama.service`. `core.owners.kinds` makes an owner
of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import ConfigError
from core.platform import SYSTEM

PROCESS = "process"
"""The default: Ollama is a process that we start, with a shim of its own."""

# systemd.unit(5): at most 255 characters of these, with the suffix.
_UNIT = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9:_.\\@-]+\.service", re.ASCII)
# The names that Docker and Podman accept: https://docs.docker.com/reference/cli/docker/container/run/#name
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
# CreateService: at most 256 characters, and no slash of either kind.
_SERVICE = re.compile(r"(?! )[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,256}(?<! )")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of owner. `what` is what it controls, in words; `systems` are those of `core.platform.SYSTEM`."""

    what: str
    form: re.Pattern[str]
    example: str
    systems: tuple[str, ...]


KINDS = {
    "systemd": Kind("a service of the system's systemd", _UNIT, "systemd:ollama.service", ("Linux",)),
    "systemd-user": Kind("a service of the user's own systemd", _UNIT, "systemd-user:ollama.service", ("Linux",)),
    "container": Kind("a container of Docker or Podman", _CONTAINER, "container:ollama", ("Linux", "macOS", "Windows")),
    "launchd": Kind("a job of launchd", _LABEL, "launchd:homebrew.mxcl.ollama", ("macOS",)),
    "windows-service": Kind("a service of Windows", _SERVICE, "windows-service:Ollama", ("Windows",)),
}

FORM = "`process`, or " + ", ".join(f"`{kind.example}`" for kind in KINDS.values()) + " or the like"


def parse(text: str) -> tuple[str, str]:
    """The kind, and the name of what it controls, which is empty for `process`. Raises ValueError for another form."""
    if text == PROCESS:
        return PROCESS, ""
    kind, _, name = text.partition(":")
    if kind not in KINDS or not KINDS[kind].form.fullmatch(name):
        raise ValueError(f"{text!r} names no owner")
    return kind, name


def name_of(text: str) -> str:
    """What it controls, for people: `ollama.service`."""
    return text.partition(":")[2] or text


def not_here(text: str) -> ConfigError | None:
    """The error for an owner of another operating system than this one, None if it may be had here."""
    kind = KINDS.get(parse(text)[0])
    if kind is None or SYSTEM in kind.systems:
        return None
    here = [other.example for other in KINDS.values() if SYSTEM in other.systems]
    return ConfigError(
        f"`owner` is `{text}`, {kind.what}, which is not on this system ({SYSTEM}) but on {' and '.join(kind.systems)}",
        action=f"Set `owner` in ollama-sidecar.json to `{PROCESS}` or, here, to one such as `{'`, `'.join(here)}`.",
    )
