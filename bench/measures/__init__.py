"""All that is measured, in the order of the table; one module for each part of the product."""

from __future__ import annotations

from bench.measures import (
    command,
    crash,
    growth,
    idle,
    lifecycle,
    log_tail,
    loop,
    memory,
    pump,
    starting,
    status,
    stream_memory,
)
from bench.rows import Measure

MEASURES: tuple[Measure, ...] = (
    *pump.MEASURES,
    *status.MEASURES,
    *lifecycle.MEASURES,
    *crash.MEASURES,
    *idle.MEASURES,
    *starting.MEASURES,
    *memory.MEASURES,
    *stream_memory.MEASURES,
    *command.MEASURES,
    *log_tail.MEASURES,
    *loop.MEASURES,
    *growth.MEASURES,
)
