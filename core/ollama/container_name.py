"""Which container it is whose Ollama holds a port, by the name that its engine has for it. Changes nothing.

Asks the engines of this machine through their sockets, without a library. Call it only for a port that a container
holds: nobody else's engine is asked. Blocks, for a second and a half at most for each engine: call it in a thread.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from core.platform.engines import UNIX, has_socket, known_sockets

_SECONDS = 1.5
_MOST_BYTES = 4 << 20


def name_of(id: str) -> str | None:
    """The name of the running container whose id begins so; None if no engine that we may ask has it."""
    return next((_name(one) for one in _running() if str(one.get("Id", "")).startswith(id)), None)


def name_at(port: int) -> str | None:
    """The name of the running container that publishes `port` of this machine; None if that cannot be found out."""
    for one in _running():
        if any(published.get("PublicPort") == port for published in one.get("Ports") or ()):
            return _name(one)
    return None


def _name(container: dict[str, Any]) -> str | None:
    names = container.get("Names") or [""]
    return str(names[0]).removeprefix("/") or None


def _running() -> Iterator[dict[str, Any]]:
    url = os.environ.get("DOCKER_HOST") or os.environ.get("CONTAINER_HOST")
    for place in (url,) if url else known_sockets():
        if not place.startswith(UNIX) or not has_socket(place):
            continue
        try:
            yield from _listed(place.removeprefix(UNIX))
        except (OSError, http.client.HTTPException, ValueError):
            continue


def _listed(path: str) -> list[dict[str, Any]]:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        return []
    connection = http.client.HTTPConnection("localhost", timeout=_SECONDS)
    connection.sock = socket.socket(family)
    with closing(connection):
        connection.sock.settimeout(_SECONDS)
        connection.sock.connect(path)
        connection.request("GET", "/containers/json")
        answer = json.loads(connection.getresponse().read(_MOST_BYTES))
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
