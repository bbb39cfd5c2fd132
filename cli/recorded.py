"""What the data folder tells of Ollama while no sidecar runs: the run records, their processes, and the port.

Records are read here and not by `core.owners`, which would cost `status` a third of a second.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from core import files
from core.platform import birth
from core.settings.paths import DEFAULT_INSTANCE, is_run_file_stem

if TYPE_CHECKING:
    from core.settings.paths import Paths

_DEFAULT_URL = "http://127.0.0.1:11434"
_MOST_SETTINGS_BYTES = 1 << 20
_PORT_SECONDS = 1.0


class Recorded(NamedTuple):
    """One Ollama that was started here. `lives` and `answers` are what is so now.

    `answers`: whether anything accepts connections at `url`; None if that address is not on loopback, where nobody is
    asked. `pid` is None, and so are the times, where there is no record.
    """

    instance: str
    url: str
    pid: int | None
    lives: bool
    answers: bool | None
    started_at: str | None = None
    ended_at: str | None = None
    reason: str | None = None


def all_recorded(paths: Paths, instance: str | None = None) -> list[Recorded]:
    """Those of that instance, or of all; one without a record for `default` if there is none. Blocks 1 s a port."""
    try:
        names = sorted(path.name.removesuffix(".json") for path in paths.run.iterdir() if path.suffix == ".json")
    except OSError:
        names = []
    found = []
    for name in names:
        if is_run_file_stem(name) and (record := _record(paths, name)) and instance in (None, record.instance):
            found.append(record)
    if not found and instance in (None, DEFAULT_INSTANCE):
        url = _configured_url(paths)
        found.append(Recorded(DEFAULT_INSTANCE, url, None, False, _answers(url)))
    return found


def _record(paths: Paths, name: str) -> Recorded | None:
    try:
        record: dict[str, Any] = json.loads(files.read(str(paths.run / f"{name}.json")))
        pid, url = int(record["pid"]), str(record["url"])
        lives = birth(pid) == record["birth"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # Damaged, another user's, or of a version that is not known here.
        return None
    times = [value if isinstance(value := record.get(key), str) else None for key in ("startedAt", "endedAt", "reason")]
    return Recorded(str(record.get("instance", DEFAULT_INSTANCE)), url, pid, lives, _answers(url), *times)


def _configured_url(paths: Paths) -> str:
    """`ollamaUrl` as it is written, without a login; the default if it cannot be read."""
    try:
        with paths.settings.open("rb") as file:
            url = json.loads(file.read(_MOST_SETTINGS_BYTES))["ollamaUrl"]
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or 11434}" if host else _DEFAULT_URL
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return _DEFAULT_URL


def _answers(url: str) -> bool | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    if host != "localhost" and host != "::1" and not host.startswith("127."):
        return None
    try:
        socket.create_connection((host, port), _PORT_SECONDS).close()
    except OSError:
        return False
    return True
