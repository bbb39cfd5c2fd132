"""What one process takes."""

from __future__ import annotations

from typing import NamedTuple


class Usage(NamedTuple):
    """One process at one moment. `started_at` is Unix time, and with the pid names the process.

    `cpu_seconds` is what it has used since its start, in the system and outside, `memory` its resident bytes: what it
    shares with others counts in full. `open_files` is descriptors, or handles on Windows; None if they may not be
    counted.
    """

    pid: int
    started_at: float
    cpu_seconds: float
    memory: int
    threads: int
    open_files: int | None
