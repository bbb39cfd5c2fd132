"""How many requests an Ollama has answered, how fast, and which failed: counts that only rise, by route and class.

Pure. The number of counts is bounded: routes are those that Ollama has, and `other`; classes are those of HTTP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from core.metrics.gin import Request

OTHER = "other"
ROUTES = frozenset(
    (
        "/",
        "/api/blobs",
        "/api/chat",
        "/api/copy",
        "/api/create",
        "/api/delete",
        "/api/embed",
        "/api/embeddings",
        "/api/generate",
        "/api/me",
        "/api/ps",
        "/api/pull",
        "/api/push",
        "/api/show",
        "/api/signout",
        "/api/tags",
        "/api/version",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/images/generations",
        "/v1/messages",
        "/v1/models",
        "/v1/responses",
    )
)
"""Those of https://github.com/ollama/ollama/blob/main/server/routes.go; what follows in a path is left out."""

_STEPS = (1, 1.12, 1.25, 1.4, 1.6, 1.8, 2, 2.24, 2.5, 2.8, 3.15, 3.55, 4, 4.5, 5, 5.6, 6.3, 7.1, 8, 9)
BUCKETS = tuple(round(step * 10.0**power, 6) for power in range(-3, 3) for step in _STEPS)
"""Upper limits in seconds, 1 ms to 900 s. An eighth more each, so that a quantile is told within some per cent."""

_MOST_ERRORS = 20
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(slots=True)
class Latencies:
    """Durations by bucket; the last one is for what is beyond all limits."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> Latencies:
        """The same, which does not change with this one."""
        return Latencies(self.counts.copy(), self.seconds)

    def quantile(self, share: float) -> float | None:
        """The seconds within which that share of them ended, as Prometheus reckons it: evenly within a bucket.

        None if there are none. What is beyond all limits is told as the highest limit.
        """
        wanted, below = share * self.count, 0
        for index, count in enumerate(self.counts):
            if count and below + count >= wanted:
                lower = BUCKETS[index - 1] if index else 0.0
                upper = BUCKETS[min(index, len(BUCKETS) - 1)]
                return lower + (upper - lower) * max(0.0, wanted - below) / count
            below += count
        return None


class RequestCounts:
    """The counts of one instance. One thread at a time adds; any thread may take a `snapshot` meanwhile."""

    def __init__(self) -> None:
        self.latencies: dict[tuple[str, str], Latencies] = {}
        """By route and class of status, such as `("/api/chat", "2xx")`."""
        self.errors: deque[Request] = deque(maxlen=_MOST_ERRORS)
        """The last requests that ended with 400 or more, oldest first. 499: whoever asked did not wait for the end."""
        self.total = 0
        self.seconds = 0.0
        """How long they took, all together."""

    def add(self, requests: Iterable[Request]) -> None:
        """Count these."""
        for request in requests:
            key = route_of(request.path), class_of(request.status)
            latencies = self.latencies.get(key) or self.latencies.setdefault(key, Latencies())
            latencies.add(request.seconds)
            self.total += 1
            self.seconds += request.seconds
            if request.status >= 400:
                self.errors.append(request)

    def snapshot(self) -> dict[tuple[str, str], Latencies]:
        """`latencies` as they are, which do not change any more, by route and class in order."""
        return {key: latencies.copy() for key, latencies in sorted(self.latencies.copy().items())}


def route_of(path: str) -> str:
    """The route of Ollama that answers that path, `other` if there is none. Ends may differ by a slash."""
    if path in ROUTES:
        return path
    plain = path.rstrip("/")
    if plain in ROUTES:
        return plain
    # Behind these stands a digest or a name.
    above = plain.rpartition("/")[0]
    return above if above in ("/api/blobs", "/v1/models") else OTHER


def class_of(status: int) -> str:
    """`2xx` for 200 and so on; what HTTP does not have counts as `5xx`."""
    return _CLASSES[status // 100 - 1] if 100 <= status <= 599 else "5xx"
