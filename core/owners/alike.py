"""What the runs of all owners do alike: wait for an end within a time, and name the processes to be measured."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from core.platform import birth
from core.platform.usage import descendants


async def set_within(event: asyncio.Event, timeout: float) -> bool:
    """Wait up to `timeout` seconds for the event; whether it is set then."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout)
    return event.is_set()


def family(pid: int, born: str | None) -> tuple[int, ...]:
    """The pids of the process with that birth and of its descendants; none if it has ended, or its birth is None.

    Blocks some ms. Nothing may be signalled by what it returns.
    """
    with suppress(OSError):
        if born is not None and birth(pid) == born:
            return pid, *descendants(pid)
    return ()
