"""The body of logs."""

from __future__ import annotations

import msgspec


class LogsBody(msgspec.Struct, frozen=True, rename="camel"):
    """GET /api/ollama/logs: the last lines, oldest first. `total_lines` is how many are returned.

    `error` says why there are none, if the log cannot be read.
    """

    logs: list[str]
    total_lines: int
    error: str | None = None
