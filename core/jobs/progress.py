"""How far a pull is, from what Ollama prints about each of its layers. Pure: the time is given.

Ollama tells of a layer only once it gets to it, one after the other, as a rule the big one first. So the sum of the
layers grows on the way, and the percentage of that sum could go back. It is held at its highest instead, and below 100
until Ollama says that all is done. Small layers that come before the first big one count for nothing, since they would
have it at 99 from the beginning.
"""

from __future__ import annotations

import math
from collections import deque

from core.ollama.pull import PullLine

RATE_SECONDS = 10.0
_SAMPLE_SECONDS = 0.25
_LEAST_SECONDS = 0.5
_MOST_LAYERS = 1000
_SMALL_BYTES = 1 << 20
_STEPS = {
    "pulling manifest": "Asking the registry",
    "verifying sha256 digest": "Verifying",
    "writing manifest": "Saving",
    "removing any unused layers": "Tidying up",
    "removing unused layers": "Tidying up",
    "success": "Done",
}


class Progress:
    """Adds up the lines of one pull, over as many attempts as it takes. Times are seconds on the monotonic clock."""

    def __init__(self, percent: int = 0) -> None:
        """`percent` is where it stood when another sidecar carried it out."""
        self.percent = percent
        self.step = ""
        self.received = 0
        """Bytes that came in while we looked, over all attempts."""
        self.completed = 0
        """Bytes that Ollama has of the layers known so far."""
        self._layers: dict[str, tuple[int, int]] = {}
        """What is complete and what there is in all, in bytes, by digest."""
        # The sums of `_layers`, kept up with each line: adding them up anew would let a server that tells of many
        # layers hold the loop.
        self._total = 0
        self._big_layers = 0
        self._seen: set[str] = set()
        """The layers that this attempt has told of."""
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def total(self) -> int | None:
        """Bytes of the layers known so far, None before the first."""
        return self._total if self._layers else None

    def begin(self) -> None:
        """Another attempt begins: what it finds to be there already was not downloaded by it."""
        self._seen.clear()
        self._samples.clear()

    def take(self, line: PullLine, now: float) -> None:
        """Note what Ollama has printed at that moment."""
        self.step = "Downloading" if line.digest else _STEPS.get(line.status, line.status)
        if line.digest and (line.digest in self._layers or len(self._layers) < _MOST_LAYERS):
            total = max(line.total, line.completed)
            completed_before, total_before = self._layers.get(line.digest, (0, 0))
            if line.digest in self._seen:
                self.received += max(0, line.completed - completed_before)
            self._seen.add(line.digest)
            self._layers[line.digest] = line.completed, total
            self.completed += line.completed - completed_before
            self._total += total - total_before
            self._big_layers += (total >= _SMALL_BYTES) - (total_before >= _SMALL_BYTES)
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self.received))
        # The last one that is older than the window is its edge.
        while len(self._samples) > 2 and self._samples[1][0] <= now - RATE_SECONDS:
            self._samples.popleft()
        if self._big_layers:
            self.percent = max(self.percent, min(99, 100 * self.completed // self._total))

    def bytes_per_second(self, now: float) -> int | None:
        """The mean of the last 10 s of this attempt, None for the first half second of it."""
        if not self._samples or now - self._samples[0][0] < _LEAST_SECONDS:
            return None
        began, before = self._samples[0]
        return round((self.received - before) / (now - began))

    def seconds_left(self, now: float) -> int | None:
        """How long the known rest takes at that rate, None if nothing comes in."""
        rate, total = self.bytes_per_second(now), self.total
        return math.ceil((total - self.completed) / rate) if rate and total is not None else None
