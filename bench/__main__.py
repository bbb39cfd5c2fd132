"""Measures the product beside its peers, and says of each row whether its target is reached.

Run from the top of the checkout: `./dev bench`, or `python -m bench` where everything is installed. Linux.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import sys
import time
from collections.abc import Sequence, Set

from bench import machine, table
from bench.measures import MEASURES
from bench.rows import Options, Result, measured
from tests.beds.sidecar import CHECKOUT

RESULTS = CHECKOUT / "bench" / "RESULTS.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. 0 if every row is reached, else 1."""
    options = parser().parse_args(arguments)
    names = [row.name for measure in MEASURES for row in measure.rows]
    if unknown := [name for name in options.row if name not in names]:
        parser().error(f"--row {unknown[0]}: there is no such row; give one of {', '.join(names)}")
    if options.write and options.row:
        parser().error("--write is for all rows; leave --row out")
    facts, date = machine.facts(), datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    began = time.monotonic()
    results, profiles = run(options, set(options.row or names))
    seconds = time.monotonic() - began
    if options.json:
        print(table.as_json(results, facts, date, seconds))
    else:
        reached = sum(result.is_reached is True for result in results)
        print(f"{reached} of {len(results)} rows reached, in {seconds / 60:.1f} min")
    if options.write:
        RESULTS.write_text(table.as_markdown(results, facts, date, seconds, profiles))
    return 0 if all(result.is_reached for result in results) else 1


def run(options: argparse.Namespace, wanted: Set[str]) -> tuple[list[Result], dict[str, Sequence[str]]]:
    """Measure the rows of these names, and print each at once. Their results, and the profiles of those missed."""
    results: list[Result] = []
    profiles: dict[str, Sequence[str]] = {}
    say = functools.partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    for measure in MEASURES:
        if wanted.isdisjoint(row.name for row in measure.rows):
            continue
        began = time.monotonic()
        found = [each for each in measured(measure, Options(options.long, options.rounds)) if each.row.name in wanted]
        results += found
        for each in found:
            say(table.line(each))
        missed = ", ".join(each.row.name for each in found if each.is_reached is False)
        if missed and (options.write or options.profile):
            profiles[missed] = measure.profile()
            for line in profiles[missed]:
                say(f"    {line}")
        print(f"    {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results, profiles


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("--row", action="append", default=[], metavar="NAME", help="that row alone; may be repeated")
    options.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    options.add_argument(
        "--write", action="store_true", help="write bench/RESULTS.md too, with a profile of each row missed"
    )
    options.add_argument("--profile", action="store_true", help="say of each row missed to which place the time goes")
    options.add_argument("--long", action="store_true", help="watch the idle program for ten minutes")
    options.add_argument("--rounds", type=int, metavar="N", help="rounds of each row (default: each row's own)")
    return options


if __name__ == "__main__":
    sys.exit(main())
