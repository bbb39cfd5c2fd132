"""The frame of all measurements: what a row is, how it is measured beside its peer, and whether it reaches its target.

A `Measure` makes one bed for one or several rows and takes rounds in it: in each round ours and the peer, one after the
other or at the same time, so that what else the machine does meets both. A row shows the medians of both, or the 99th
percentiles, and the median of the ratios of the pairs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tests.beds import BedMissing


class Pair(NamedTuple):
    """What one round found for one row, in the row's unit. `peer` is None for a row without one."""

    ours: float
    peer: float | None = None


Round = Mapping[str, Pair]
"""What one round found, by the names of rows."""


class Kind(StrEnum):
    """What the limit of a target is for."""

    RATIO = "ratio"
    """Ours divided by the peer's."""
    BEYOND = "beyond"
    """Ours minus the peer's."""
    OURS = "ours"
    """Ours alone."""
    EXPONENT = "exponent"
    """Of growth."""


@dataclass(frozen=True, slots=True)
class Target:
    """At most `limit`, or at least it. BEYOND and OURS are in the row's unit."""

    kind: Kind
    limit: float
    is_least: bool = False

    def in_words(self, unit: str) -> str:
        """As the table shows it, such as `≤ 1.2 ×` or `≤ +50 ms`."""
        sign = "≥" if self.is_least else "≤"
        match self.kind:
            case Kind.RATIO:
                return f"{sign} {self.limit:g} ×"
            case Kind.BEYOND:
                return f"{sign} {self.limit:+g} {unit}"
            case Kind.OURS:
                return f"{sign} {self.limit:g} {unit}".rstrip()
            case Kind.EXPONENT:
                return f"exponent {sign} {self.limit:g}"


def at_most(times: float) -> Target:
    """Ours takes so many times the peer's at most."""
    return Target(Kind.RATIO, times)


def at_least(times: float) -> Target:
    """Ours is so many times the peer's at least."""
    return Target(Kind.RATIO, times, is_least=True)


def beyond(limit: float) -> Target:
    """Ours exceeds the peer's by so much at most."""
    return Target(Kind.BEYOND, limit)


def below(limit: float) -> Target:
    """Ours is so much at most, whatever the peer's is."""
    return Target(Kind.OURS, limit)


def grows_by(exponent: float) -> Target:
    """Ten times the size costs 10 to that power as much at most."""
    return Target(Kind.EXPONENT, exponent)


def median(values: Sequence[float]) -> float:
    """Of at least one value."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """The value that 99 of 100 do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `peer` names what ours is compared with, empty for nothing.

    `take` makes one figure of those of all rounds. `is_growth`: the "peer" is ours at a tenth of the size, and the
    exponent of growth is shown.
    """

    name: str
    what: str
    unit: str
    peer: str
    target: Target
    take: Callable[[Sequence[float]], float] = median
    is_growth: bool = False


Take = Callable[[], Round]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says: `is_long` for windows of ten minutes, `rounds` in place of each measure's own."""

    is_long: bool = False
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """How some rows are measured. `bed` yields what takes one round, and raises BedMissing if a part is missing.

    `profile` runs ours once more and returns lines that tell to which place the time, or the memory, goes.
    """

    rows: tuple[Row, ...]
    rounds: int
    bed: Callable[[Options], AbstractContextManager[Take]]
    profile: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one row. All are None if it was not measured, and `missing` says why."""

    row: Row
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    rounds: int = 0
    missing: str = ""

    @property
    def exponent(self) -> float | None:
        """Of growth: 0 for none, 1 if ten times the size costs ten times as much. None for other rows."""
        return math.log10(self.ratio) if self.row.is_growth and self.ratio else None

    @property
    def is_reached(self) -> bool | None:
        """None if it was not measured."""
        if self.ours is None:
            return None
        target = self.row.target
        found: float | None
        match target.kind:
            case Kind.RATIO:
                found = self.ratio
            case Kind.BEYOND:
                found = None if self.peer is None else self.ours - self.peer
            case Kind.OURS:
                found = self.ours
            case Kind.EXPONENT:
                found = self.exponent
        if found is None:
            return None
        return found >= target.limit if target.is_least else found <= target.limit


def measured(measure: Measure, options: Options) -> list[Result]:
    """The results of all its rows, in their order."""
    rounds: list[Round] = []
    try:
        with measure.bed(options) as take:
            rounds = [take() for _ in range(options.rounds or measure.rounds)]
    except BedMissing as missing:
        return [Result(row, missing=str(missing)) for row in measure.rows]
    return [summed_up(row, [found[row.name] for found in rounds]) for row in measure.rows]


def summed_up(row: Row, pairs: Sequence[Pair]) -> Result:
    """The figures of one row."""
    ours = row.take([pair.ours for pair in pairs])
    peers = [pair.peer for pair in pairs if pair.peer is not None]
    if not peers:
        return Result(row, ours, rounds=len(pairs))
    peer = row.take(peers)
    if row.take is median:
        ratios = [pair.ours / pair.peer for pair in pairs if pair.peer]
        ratio = median(ratios) if ratios else None
    else:
        ratio = ours / peer if peer else None
    return Result(row, ours, peer, ratio, len(pairs))
