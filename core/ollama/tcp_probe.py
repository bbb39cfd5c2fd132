"""Whether a loopback port is open: connects and sends nothing, so that no server's log shows it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from core.endpoint import Endpoint

_CONNECT_SECONDS = 0.5
_LOOPBACKS = ("127.0.0.1", "::1")


async def is_listening(endpoint: Endpoint) -> bool:
    """Whether a connection is accepted there within 0.5 s. Nothing is sent.

    Only for an endpoint for which `can_probe` is true.
    """
    for address in _addresses(endpoint):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                with socket.socket(family, socket.SOCK_STREAM) as connection:
                    connection.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(connection, (address, endpoint.port))
                return True
    return False


def can_probe(endpoint: Endpoint) -> bool:
    """Whether the endpoint's text alone shows that it is on loopback. A name would have to be resolved each time."""
    return bool(_addresses(endpoint))


def _addresses(endpoint: Endpoint) -> tuple[str, ...]:
    if endpoint.host in ("localhost", "0.0.0.0", "::"):  # noqa: S104 - recognised, not bound to
        return _LOOPBACKS
    is_address = ":" in endpoint.host or endpoint.host.replace(".", "").isdecimal()
    return (endpoint.host,) if endpoint.is_loopback and is_address else ()
