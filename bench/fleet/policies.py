"""Which upstream gets a request: the two policies of the balancer, and `homes` with a limit.

A policy knows only what a balancer knows: which upstreams are up, and how many requests each has that are not over.
"""

from __future__ import annotations

import math
import random
from typing import Protocol


class Policy(Protocol):
    """`choose` names the upstream for a request, None if all are down or full. The others tell what has happened.

    A request for which there is none is tried again for `patience` seconds.
    """

    patience: float

    def choose(self, model: int) -> int | None: ...
    def sent(self, upstream: int) -> None: ...
    def over(self, upstream: int) -> None: ...
    def down(self, upstream: int) -> None: ...
    def up(self, upstream: int) -> None: ...


class Spread:
    """Least connections; among equals a random one.

    Upstreams are kept in one list for each number of requests, with the place of each in its list, so a choice among
    1,000 costs as little as one among three.
    """

    patience = 0.0

    def __init__(self, upstreams: int, seed: int) -> None:
        self._chance = random.Random(f"{seed} spread")
        self._count: dict[int, int] = dict.fromkeys(range(upstreams), 0)
        self._with_count: list[list[int]] = [list(range(upstreams))]
        self._place = list(range(upstreams))
        self._least = 0

    def choose(self, model: int) -> int | None:
        """One of those with the fewest requests."""
        if not self._count:
            return None
        while not self._with_count[self._least]:
            self._least += 1
        equals = self._with_count[self._least]
        return equals[int(self._chance.random() * len(equals))]

    def sent(self, upstream: int) -> None:
        """It has one request more."""
        self._put(upstream, self._take(upstream) + 1)

    def over(self, upstream: int) -> None:
        """It has one request less."""
        self._put(upstream, self._take(upstream) - 1)

    def down(self, upstream: int) -> None:
        """It gets nothing, and what it had is over."""
        self._take(upstream)

    def up(self, upstream: int) -> None:
        """It gets requests again."""
        self._put(upstream, 0)

    def _take(self, upstream: int) -> int:
        count = self._count.pop(upstream)
        equals = self._with_count[count]
        last = equals.pop()
        if last != upstream:
            place = self._place[upstream]
            equals[place] = last
            self._place[last] = place
        return count

    def _put(self, upstream: int, count: int) -> None:
        while len(self._with_count) <= count:
            self._with_count.append([])
        self._count[upstream] = count
        self._place[upstream] = len(self._with_count[count])
        self._with_count[count].append(upstream)
        self._least = min(self._least, count)


class Homes:
    """Each model has an order of all upstreams, by a hash; its home is the first of them that is up.

    With `limit` also one with that many requests is passed over. If all have that many, a request waits in the
    balancer, ten minutes at most.
    """

    def __init__(self, upstreams: int, models: int, seed: int, limit: int | None = None) -> None:
        chance = random.Random(f"{seed} homes")
        self._orders = [chance.sample(range(upstreams), upstreams) for _ in range(models)]
        self.patience = 0.0 if limit is None else 600.0
        self._count = [0] * upstreams
        self._is_up = [True] * upstreams
        self._limit = math.inf if limit is None else limit
        self._open = upstreams

    def choose(self, model: int) -> int | None:
        """The first of the model's order that is up, and below the limit."""
        if not self._open:
            return None
        return next(upstream for upstream in self._orders[model] if self._is_open(upstream))

    def sent(self, upstream: int) -> None:
        """It has one request more."""
        self._count[upstream] += 1
        self._open -= not self._is_open(upstream)

    def over(self, upstream: int) -> None:
        """It has one request less."""
        self._open += not self._is_open(upstream)
        self._count[upstream] -= 1

    def down(self, upstream: int) -> None:
        """It is passed over, and what it had is over."""
        self._open -= self._is_open(upstream)
        self._is_up[upstream], self._count[upstream] = False, 0

    def up(self, upstream: int) -> None:
        """It is a home again for those that it was one for before."""
        self._is_up[upstream] = True
        self._open += 1

    def _is_open(self, upstream: int) -> bool:
        return self._is_up[upstream] and self._count[upstream] < self._limit
