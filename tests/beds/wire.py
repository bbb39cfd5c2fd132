"""Plain calls to servers on this machine, past any proxy that the environment names."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

PORTS = "AURA_TEST_PORTS"
PORT_TRIES = 100
_first, _, _last = os.environ.get(PORTS, "0-0").partition("-")
# The system chooses where the port is 0.
_ports = itertools.cycle(range(int(_first), int(_last) + 1))

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer of any status."""

    status: int
    body: bytes

    @property
    def json(self) -> JsonObject:
        """The body as a JSON object; `ValueError` if it is none."""
        value: object = json.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError(f"not a JSON object: {self.body[:200]!r}")
        return cast("JsonObject", value)


def call(
    method: str,
    url: str,
    body: bytes | JsonObject | None = None,
    *,
    timeout: float = 10.0,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request; an object is sent as JSON, and so is an empty body, as Aura does.

    `OSError` if there is no answer within `timeout` seconds.
    """
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    request = urllib.request.Request(
        url, data=content, method=method, headers={"Content-Type": kind, **(headers or {})}
    )
    try:
        with _DIRECT.open(request, timeout=timeout) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.read())


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment.

    Where `$AURA_TEST_PORTS` names a range, such as `20000-25999`, it is the next free one of these. Runs side by side
    get a range each: else one may be given the port that another has just been given, and not yet taken.
    Raises `RuntimeError` if none of the next hundred is free.
    """
    for port in itertools.islice(_ports, PORT_TRIES):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RuntimeError(f"{PORT_TRIES} ports were all taken")


def listens(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1 at `port`."""
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
