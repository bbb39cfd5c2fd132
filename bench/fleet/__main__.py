"""What the two policies of the balancer cost with 3, 100 and 1,000 upstreams, as tables in Markdown.

Run from the top of the checkout: `python -m bench.fleet [--upstreams 3,100,1000] [--seed 1] …`; no Ollama is needed.
`--check`, alone, compares the simulation with queueing on paper instead. The same seed prints the same table, anywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from bench.fleet.check import checks
from bench.fleet.load import zipf_load
from bench.fleet.policies import Homes, Policy, Spread
from bench.fleet.simulate import Failures, Figures, simulate
from bench.fleet.upstream import Size

HEADER = """\
| upstreams | requests come | policy | wait p50 | p95 | p99 | loads per request | models in memory | busy | busiest | refused | lost |
|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""  # noqa: E501 - a row of a table


def main() -> int:
    """Print the tables; ends with 1 if a check does not hold."""
    begun = time.monotonic()
    if sys.argv[1:2] == ["--check"]:
        return _print_checks()
    print(HEADER)
    for row in table(sys.argv[1:]):
        print(row, flush=True)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 0


def table(arguments: Sequence[str]) -> Iterator[str]:
    """The rows of the table for those options. Ends the program with a message for options that it does not know."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--upstreams", default="3,100,1000", help="numbers of upstreams (default: %(default)s)")
    parser.add_argument("--models", default="8,60,300", help="models in use, for each of those (default: %(default)s)")
    parser.add_argument("--requests", default="40000,80000,250000", help="for each of those (default: %(default)s)")
    parser.add_argument("--busy", type=float, default=0.4, help="requests' work over all slots (default: %(default)s)")
    parser.add_argument("--zipf", type=float, default=1.0, help="popularity of models (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="work of a request, mean (default: %(default)s)")
    parser.add_argument("--sigma", type=float, default=1.2, help="its log-normal sigma (default: %(default)s)")
    parser.add_argument("--load-seconds", type=float, default=10.0, help="to load a model (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=2, help="requests at a time (default: %(default)s)")
    parser.add_argument("--holds", type=int, default=3, help="models that fit in memory (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=4, help="requests at which a home is full (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    sizes, models, requests = (
        [int(number) for number in text.split(",")] for text in (options.upstreams, options.models, options.requests)
    )
    if not len(sizes) == len(models) == len(requests):
        parser.error("--upstreams, --models and --requests need as many numbers each")
    for upstreams, count, most in zip(sizes, models, requests, strict=True):
        for words, figures in _rows(options, upstreams, count, most):
            yield f"| {upstreams:,} | {words} | {_cells(figures)} |"


def _rows(options: argparse.Namespace, upstreams: int, models: int, requests: int) -> Iterator[tuple[str, Figures]]:
    size = Size(options.slots, options.holds, options.load_seconds, keep_seconds=300.0)
    seed = options.seed
    policies: dict[str, Callable[[], Policy]] = {
        "spread": lambda: Spread(upstreams, seed),
        "homes": lambda: Homes(upstreams, models, seed),
        "homes, limited": lambda: Homes(upstreams, models, seed, options.limit),
    }
    for arrivals in ("evenly", "in bursts", "evenly; some fail"):
        load = zipf_load(
            rate=options.busy * upstreams * options.slots / options.seconds,
            seconds=options.seconds,
            models=models,
            exponent=options.zipf,
            sigma=options.sigma,
            bursts=arrivals == "in bursts",
        )
        failures = Failures(up_seconds=7200.0, down_seconds=120.0) if "fail" in arrivals else None
        for name, policy in policies.items():
            yield (
                f"{arrivals} | {name}",
                simulate(upstreams, size, load, policy(), requests=requests, seed=seed, failures=failures),
            )


def _cells(figures: Figures) -> str:
    waits = [f"{figures.wait(share):.1f} s" for share in (0.5, 0.95, 0.99)]
    return " | ".join(
        [
            *waits,
            f"{figures.loads / figures.requests:.3f}",
            f"{figures.in_memory:.2f}",
            f"{figures.busy:.0%}",
            f"{figures.busiest:.0%}",
            f"{figures.refused / figures.requests:.2%}",
            f"{figures.lost / figures.requests:.2%}",
        ]
    )


def _print_checks() -> int:
    print("| case | on paper | simulated | 99.9 % interval |")
    print("|---|--:|--:|--:|")
    is_well = True
    for check in checks(seed=1):
        is_well &= check.holds
        sign = "" if check.holds else " **outside**"
        print(f"| {check.name} | {check.paper:.4f} | {check.mean:.4f} | ± {check.half:.4f}{sign} |", flush=True)
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
