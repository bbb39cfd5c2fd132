"""The results in three forms: lines for a terminal, JSON for programs, and Markdown for `bench/RESULTS.md`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bench.rows import Kind, Result, Row

COLUMNS = ("row", "what", "ours", "peer", "beside", "compared", "target", "reached")


def cells(result: Result) -> tuple[str, ...]:
    """One for each of `COLUMNS`."""
    row = result.row
    if result.ours is None:
        return row.name, row.what, "–", "–", row.peer, result.missing, row.target.in_words(row.unit), "not measured"
    peer = "–" if result.peer is None else figure(result.peer, row)
    reached = {True: "reached", False: "NOT REACHED", None: "?"}[result.is_reached]
    target = row.target.in_words(row.unit)
    return row.name, row.what, figure(result.ours, row), peer, row.peer, compared(result), target, reached


def figure(value: float, row: Row) -> str:
    """With its unit, and three digits that count."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {row.unit}"


def compared(result: Result) -> str:
    """Ours beside the peer's, in the way in which the target speaks of it."""
    if result.ours is None or result.peer is None:
        return ""
    if result.exponent is not None:
        return f"exponent {result.exponent:.2f}"
    if result.row.target.kind is Kind.BEYOND:
        return f"{result.ours - result.peer:+.1f} {result.row.unit}"
    return "" if result.ratio is None else f"{result.ratio:.2f} ×"


def line(result: Result) -> str:
    """For a terminal."""
    name, what, ours, peer, beside, both, target, reached = cells(result)
    against = f"{beside} {peer}" if beside else ""
    return f"{name:20} {what:54} {ours:>18}   {against:38} {both:>14}   {target:>18}   {reached}"


def as_json(results: Sequence[Result], machine: Mapping[str, str], date: str, seconds: float) -> str:
    """One object, whose `rows` are in the order of the table."""
    rows = [
        {
            "name": each.row.name,
            "what": each.row.what,
            "unit": each.row.unit,
            "ours": each.ours,
            "peer": each.peer,
            "peerName": each.row.peer or None,
            "ratio": each.ratio,
            "exponent": each.exponent,
            "target": each.row.target.in_words(each.row.unit),
            "reached": each.is_reached,
            "rounds": each.rounds,
            "missing": each.missing or None,
        }
        for each in results
    ]
    return json.dumps({"machine": machine, "date": date, "seconds": round(seconds), "rows": rows}, indent=2)


def as_markdown(
    results: Sequence[Result],
    machine: Mapping[str, str],
    date: str,
    seconds: float,
    profiles: Mapping[str, Sequence[str]],
) -> str:
    """The whole of `bench/RESULTS.md`. `profiles` are lines for the names of rows that were not reached."""
    reached = sum(result.is_reached is True for result in results)
    told = [
        "# Results",
        "",
        f"Written by `./dev bench --write` on {date}, in {seconds / 60:.1f} min.",
        f"{reached} of {len(results)} rows reached.",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
        "",
        "Medians of pairs by turns; of rows with “99 of 100”, the 99th percentile.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(cells(result))} |" for result in results),
    ]
    if profiles:
        told += ["", "## Where the time goes", "", "One more run of each row that was not reached, under a profiler."]
    for names, lines in profiles.items():
        told += ["", f"### {names}", "", "```text", *lines, "```"]
    return "\n".join(told) + "\n"
