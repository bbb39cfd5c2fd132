"""How many wrong tokens are answered on their merits before their senders are told to wait."""

from __future__ import annotations

import math
import time

BURST = 10
PER_SECOND = 1.0


class Throttle:
    """Counts failures: `BURST` at once and `PER_SECOND` after that are free. A success is never in its way."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()

    def failed(self) -> int:
        """Count one more failure. The whole seconds that its sender should wait, 0 if it was free."""
        now = time.monotonic()
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0
        return math.ceil((1.0 - self._left) / PER_SECOND)
