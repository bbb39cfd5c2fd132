"""Ten minutes of samples, in columns."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

KEPT_SECONDS = 600.0
_MOST_ROWS = 660


class Row(NamedTuple):
    """One sample. None: not known at that moment.

    `at` is Unix time, `cpu` in cores, `memory` and `vram` in bytes, `requests` how many ended since the row before, and
    `request_seconds` how long those took, all together.
    """

    at: float
    cpu: float | None
    memory: int | None
    threads: int | None
    open_files: int | None
    vram: int | None
    requests: int
    request_seconds: float


class History:
    """The rows of the last ten minutes: one a second while somebody looks, else one each half minute."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=_MOST_ROWS)

    def add(self, row: Row) -> None:
        """Add the newest one, and drop what is older than ten minutes by then."""
        self._rows.append(row)
        while self._rows[0].at < row.at - KEPT_SECONDS:
            self._rows.popleft()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All, oldest first."""
        return tuple(self._rows)
