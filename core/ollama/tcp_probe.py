"""Whether anybody listens at an address of this machine's loopback, without a word to whoever it is."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from core.endpoint import Endpoint

_CONNECT_SECONDS = 0.5
_LOOPBACKS = ("127.0.0.1", "::1")


async def is_listening(endpoint: Endpoint) -> bool:
    """Whether a connection is accepted there within half a second. Nothing is sent.

    Only for an endpoint of which `can_probe` is true. A server's log shows nothing of it.
    """
    for address in _addresses(endpoint):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_SECONDS):
                if await _accepts(address, endpoint.port):
                    return True
    return False


def can_probe(endpoint: Endpoint) -> bool:
    """Whether the endpoint is on loopback by its text alone: a name would have to be looked up each time."""
    return bool(_addresses(endpoint))


def _addresses(endpoint: Endpoint) -> tuple[str, ...]:
    if endpoint.host in ("localhost", "0.0.0.0", "::"):  # noqa: S104 - recognised, not bound to
        return _LOOPBACKS
    is_address = ":" in endpoint.host or endpoint.host.replace(".", "").isdecimal()
    return (endpoint.host,) if endpoint.is_loopback and is_address else ()


async def _accepts(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    return True
