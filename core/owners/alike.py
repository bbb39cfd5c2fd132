"""What all owners do alike: wait for an end, take back a start, name the processes to be measured."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from core.owners.tree_end import wait_end
from core.platform import birth
from core.platform.usage import descendants


async def set_within(event: asyncio.Event, timeout: float) -> bool:
    """Wait up to `timeout` seconds for the event; whether it is set then."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout)
    return event.is_set()


async def taken_back(work: Coroutine[Any, Any, None]) -> None:
    """Do what is to be done after a cancellation, in a task of its own; raises what it raises.

    In a task that was cancelled, `asyncio.timeout` of Python 3.11 ends in CancelledError instead of TimeoutError.
    """
    await asyncio.create_task(work)


async def seen_end(pid: int, born: str | None) -> None:
    """Return once the process with that birth has ended. Never, if it cannot be watched, or its birth is None."""
    if born is not None:
        with suppress(OSError):
            await wait_end(pid, born)
            return
    await asyncio.Event().wait()


def family(pid: int, born: str | None) -> tuple[int, ...]:
    """The pids of the process with that birth and of its descendants; none if it has ended, or its birth is None.

    Blocks some ms. Nothing may be signalled by what it returns.
    """
    with suppress(OSError):
        if born is not None and birth(pid) == born:
            return pid, *descendants(pid)
    return ()
