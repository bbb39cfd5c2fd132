"""When to start a crashed Ollama again, and when to give up. Pure: the caller brings the monotonic time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
MOST_CRASHES = 5
WINDOW = 600.0
STABLE = 60.0


@dataclass(slots=True)
class Backoff:
    """Delays double from `FIRST_DELAY` to `LONGEST_DELAY` seconds; more than `MOST_CRASHES` in `WINDOW` s is the end.

    A run of `STABLE` seconds begins the delays anew, but its crash still counts in the window.
    """

    _crashes: deque[float] = field(default_factory=deque)
    _streak: int = 0

    def crashed(self, now: float, ran_for: float) -> float | None:
        """Note a crash at `now` after `ran_for` ready seconds. Returns the delay in seconds, None to give up."""
        self._crashes.append(now)
        while self._crashes[0] < now - WINDOW:
            self._crashes.popleft()
        if len(self._crashes) > MOST_CRASHES:
            return None
        self._streak = 1 if ran_for >= STABLE else self._streak + 1
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (self._streak - 1))

    @property
    def crashes(self) -> int:
        """How many crashes the window holds."""
        return len(self._crashes)

    def reset(self) -> None:
        """Forget all crashes: the user has spoken."""
        self._crashes.clear()
        self._streak = 0
