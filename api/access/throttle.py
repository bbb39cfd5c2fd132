"""How many wrong tokens get a plain refusal before their senders are told to wait: a token bucket."""

from __future__ import annotations

import math
import time

BURST = 10
PER_SECOND = 1.0


class Throttle:
    """Counts failures. `BURST` at once, and `PER_SECOND` after that, cause no wait. Successes are not counted."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()

    def failed(self) -> int:
        """Count a failure. Returns how many whole seconds its sender should wait, 0 if not at all."""
        now = time.monotonic()
        self._left = min(float(BURST), self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0
        return math.ceil((1.0 - self._left) / PER_SECOND)
