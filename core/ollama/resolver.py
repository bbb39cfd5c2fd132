"""Host names to addresses. A name server that hangs delays only the call that waits for it.

The event loop's own resolver would block a thread of the default executor for each lookup that hangs, and at its end
the program waits for that executor.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Addresses = list[tuple[socket.AddressFamily, str]]
LookUp = Callable[..., list[tuple[Any, ...]]]

# IPv4 first: an Ollama told to listen at `localhost` binds that one, and on Windows a refused connection takes 2 s.
_LOOPBACK: Addresses = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


class Resolver(AbstractResolver):
    """Resolves names in daemon threads, one per name at a time. `localhost` needs no lookup (RFC 6761).

    Belongs to one event loop. `look_up` has the signature of `socket.getaddrinfo`.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up_now = look_up
        self._lookups: dict[str, asyncio.Future[Addresses]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError if there are none. Waits as long as the system does."""
        is_loopback = host == "localhost" or host.endswith(".localhost")
        found = _LOOPBACK if is_loopback else await self._look_up(host)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing to release: a lookup under way ends by itself, or with the program."""

    async def _look_up(self, host: str) -> Addresses:
        if host not in self._lookups:
            loop = asyncio.get_running_loop()
            lookup: asyncio.Future[Addresses] = loop.create_future()
            lookup.add_done_callback(lambda _: self._lookups.pop(host))
            arguments = self._look_up_now, host, loop, lookup
            threading.Thread(target=_resolve, args=arguments, name="resolver", daemon=True).start()
            self._lookups[host] = lookup
        # A caller that is cancelled must not cancel the lookup for the others.
        return await asyncio.shield(self._lookups[host])


def _resolve(look_up: LookUp, host: str, loop: asyncio.AbstractEventLoop, lookup: asyncio.Future[Addresses]) -> None:
    def settle() -> None:
        if error is None:
            lookup.set_result(found)
        else:
            lookup.set_exception(error)
            # Marks the exception as retrieved: every caller may have given up.
            lookup.exception()

    found: Addresses = []
    error: OSError | None = None
    try:
        rows = look_up(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        for family, _, _, _, address in rows:
            # A link-local IPv6 address needs its interface (zone) to be reachable.
            zone = f"%{address[3]}" if len(address) == 4 and address[3] else ""
            found.append((family, f"{address[0]}{zone}"))
    except (OSError, UnicodeError) as failure:
        error = failure if isinstance(failure, OSError) else OSError(str(failure))
    with contextlib.suppress(RuntimeError):
        # The loop may be closed by now.
        loop.call_soon_threadsafe(settle)
