"""Tells the service manager that we serve, and goes on telling it as long as that is so.

The proof is a request of our own to our own address: the loop turns, a connection is accepted, and the checks and a
route answer. If no answer comes, nothing is told, and the manager's watchdog ends and restarts us.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from core.platform.notify import Manager

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.2
_TELLINGS = 3
"""How often the manager hears from us in the time that its watchdog allows."""


async def report(manager: Manager, url: str) -> None:
    """Tell `READY=1` at once, then `WATCHDOG=1` as long as `url` answers. Returns only if there is no watchdog."""
    # Its queue may be full, and it may be restarting: neither raises an event here.
    while not manager.tell("READY=1", f"STATUS=Listening on {url}"):  # noqa: ASYNC110
        await asyncio.sleep(_RETRY_SECONDS)
    if manager.watchdog is None:
        return
    pause = manager.watchdog / _TELLINGS
    while True:
        if await _serves(url, pause):
            manager.tell("WATCHDOG=1")
        else:
            log.error("our own call to %s got no answer within %.0f s", url, pause)
        await asyncio.sleep(pause)


async def _serves(url: str, seconds: float) -> bool:
    """Whether the sidecar at `url` answers within `seconds`, be it with a refusal for want of a token."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        # A session of its own, so that each call takes a connection that is accepted anew.
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/healthz") as answer:
            return answer.status < 500
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
