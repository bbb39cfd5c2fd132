"""What a shim is told to do: the spec, a file that `core.owners.shim_start` writes and `core.shim.main` reads.

The one place for its keys and their types. Standard library only, since the shim imports it.

A spec and a run record bear `version`, a whole number that rises whenever an older reader would take them wrongly; a
key that is only added leaves it as it is. Whoever meets a version that it does not know leaves the file and what it
tells of alone. What is true of all versions: `version` is there, and a record has `shimPid` and `shimBirth`. The first
release wrote neither `version` nor `instance`; that counts as version 0.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VERSION = 1
"""Of the specs that this release writes; it reads all up to this one."""

_TYPES: dict[str, tuple[type, ...]] = {
    "argv": (list,),
    "env": (dict,),
    "cwd": (str,),
    "logs": (str,),
    "caps": (dict,),
    "record": (str,),
    "grace": (int, float),
    "stopEvent": (str,),
    "port": (int,),
    "url": (str,),
    "instance": (str,),
}


class NewerVersion(Exception):
    """A spec or a run record of a version that this release does not know: leave it alone."""

    def __init__(self, version: int, content: Mapping[str, Any]) -> None:
        """`content` is the whole of it."""
        super().__init__(f"It is of version {version}, which only a newer aura-ollama can read.")
        self.content = content


class Spec:
    """All that a shim needs to know. Its attributes are the keys of the file, in snake case."""

    __slots__ = ("argv", "caps", "cwd", "env", "grace", "instance", "logs", "port", "record", "stop_event", "url")

    def __init__(
        self,
        *,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        logs: str,
        caps: dict[str, int],
        record: str,
        grace: float,
        stop_event: str,
        port: int,
        url: str,
        instance: str,
    ) -> None:
        """`env`: what is added to the shim's own. `logs`: a folder. `caps`: `core.logs.segments.Caps` by name.

        `record`: where the run record goes. `grace`: seconds from the request to stop to the kill. `stop_event`: the
        name of that request on Windows. `port`, `url`, `instance`: for the record.
        """
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.logs = logs
        self.caps = caps
        self.record = record
        self.grace = grace
        self.stop_event = stop_event
        self.port = port
        self.url = url
        self.instance = instance

    def to_json(self) -> str:
        """The content of a file from which `from_json` makes an equal one."""
        return json.dumps({"version": VERSION} | {key: getattr(self, _attribute(key)) for key in _TYPES})

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """The spec that `to_json` of this or an earlier version wrote.

        Raises NewerVersion for one of a later version, ValueError that names the key for what is no spec.
        """
        content: dict[str, Any] = json.loads(text)
        require_known(content, VERSION)
        content = {"instance": "default"} | content
        for key, types in _TYPES.items():
            if not isinstance(content.get(key), types):
                raise ValueError(f"The spec's {key} is {content.get(key)!r}, which is no {types[0].__name__}")
        return cls(**{_attribute(key): content[key] for key in _TYPES})


def require_known(content: object, newest: int) -> None:
    """Raise NewerVersion if decoded JSON says that it is of a version after `newest`; ValueError if it is no object."""
    if not isinstance(content, dict):
        raise ValueError("It is no JSON object")
    version = content.get("version", 0)
    if not isinstance(version, int):
        raise ValueError(f"Its version is {version!r}, which is no whole number")
    if version > newest:
        raise NewerVersion(version, content)


def _attribute(key: str) -> str:
    return "stop_event" if key == "stopEvent" else key
