"""Ollama's health in one answer, for whoever polls it, and the wait for a good one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import ConfigError
from core.ollama.call import CallFailed
from core.ollama.error_texts import NOT_REACHABLE
from core.ollama.probe import PROBE_SECONDS, error_text
from core.supervision.state import UP, Status
from core.supervision.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Health:
    """Whether Ollama answers, and what it has. `seconds` is how long it took to answer, or to find that it does not.

    `available` and `running` are names: what is installed and what is in memory, as last listed while it hangs.
    """

    is_healthy: bool
    version: str | None
    available: tuple[str, ...]
    running: tuple[str, ...]
    url: str
    seconds: float
    error: str | None
    checked_at: datetime


async def health(supervisor: Supervisor) -> Health:
    """Ollama's health, asked of it anew. Takes some 5 s at most, and does not raise."""
    news = await supervisor.models()
    began = time.monotonic()
    status = await supervisor.status()
    version, error = status.version, status.error
    if status.is_running and error is None:
        began = time.monotonic()
        version, error = await _answer(supervisor)
    elif not status.is_running:
        version, error = None, error or NOT_REACHABLE
    return Health(
        is_healthy=error is None,
        version=version,
        available=tuple(model.name for model in news.models),
        running=status.loaded,
        url=status.url,
        seconds=time.monotonic() - began,
        error=error,
        checked_at=datetime.now(UTC),
    )


async def _answer(supervisor: Supervisor) -> tuple[str | None, str | None]:
    """The version that Ollama tells, or why it does not."""
    try:
        return await (await supervisor.client()).version(PROBE_SECONDS), None
    except CallFailed as error:
        return None, error_text(error)
    except ConfigError:
        return None, NOT_REACHABLE


async def ready(supervisor: Supervisor, tries: int, delay: float, is_wanted: Callable[[], bool]) -> Health:
    """Look `tries` times, `delay` seconds apart and at once when Ollama comes up; the first good health, or the last.

    `is_wanted` says whether anybody still waits.
    """
    found = await health(supervisor)
    for _ in range(tries - 1):
        if found.is_healthy or not is_wanted():
            break
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await _come_up(supervisor)
        found = await health(supervisor)
    return found


async def _come_up(supervisor: Supervisor) -> None:
    def is_up(status: Status) -> bool:
        return status.state in UP and status.error is None

    with supervisor.subscribe() as statuses:
        was_up = True
        async for status in statuses:
            if is_up(status) and not was_up:
                return
            was_up = is_up(status)
