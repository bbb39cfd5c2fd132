"""`aura-ollama doctor`. Answers without a sidecar too. What it needs is imported only when it runs: all of core."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from cli import exits, output
from cli.common import paths_of
from core.text import on_one_line

if TYPE_CHECKING:
    import argparse

    from core.doctor.finding import Finding
    from core.doctor.report import Report

_MARKS = {"broken": ("✗", "red"), "warning": ("!", "yellow"), "note": ("·", "dim")}
_INDENT = "    "
_LEAST_WIDTH = 40


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the report goes."""
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write it there as well, fit to be pasted into an issue"
    )
    parser.add_argument("--force", action="store_true", help="with --report: overwrite FILE, whatever it is")


def run(options: argparse.Namespace) -> int:
    """Examine, and print what is wrong, worst first. FAILED if something is broken, or the report is not written."""
    import logging

    from core.doctor.examine import examined

    # What a room logs of a fault is a finding here.
    logging.getLogger().addHandler(logging.NullHandler())
    report = examined(paths_of(options))
    is_saved = options.report is None or _save(options.report, report, is_forced=options.force)
    if options.json:
        output.as_json(report.as_json())
    else:
        _show(report)
    return exits.FAILED if report.is_broken or not is_saved else exits.DONE


def _save(path: Path, report: Report, *, is_forced: bool) -> bool:
    from core.doctor.report_file import NotOverwritten, save

    try:
        save(path, report.as_text(), force=is_forced)
    except NotOverwritten as error:
        output.complain(str(error), "Give another name, or --force where it may be overwritten.")
    except OSError as error:
        output.complain(f"{path} cannot be written: {error.strerror or error}.")
    else:
        output.note(f"The report is in {path}. Read it before you show it to others.")
        return True
    return False


def _show(report: Report) -> None:
    for finding in report.findings:
        _show_finding(finding)
    if report.findings:
        output.line()
    output.line(
        output.styled(f"Checked: {', '.join(report.checked)}." if report.checked else "Nothing checked.", "dim")
    )
    counts = [sum(finding.severity == severity for finding in report.findings) for severity in ("broken", "warning")]
    if report.is_well:
        output.line(output.styled(report.praise, "green"))
    else:
        output.line(f"{counts[0]} broken, {counts[1]} to be warned of.")


def _show_finding(finding: Finding) -> None:
    mark, colour = _MARKS[finding.severity]
    output.line(f"{output.styled(mark, colour)} {output.styled(on_one_line(finding.title), 'bold')}")
    _paragraph(finding.message)
    if finding.action:
        _paragraph(f"→ {finding.action}")


def _paragraph(text: str) -> None:
    room = output.width()
    shown = on_one_line(text)
    if room is None or room < _LEAST_WIDTH:
        output.line(f"{_INDENT}{shown}")
        return
    # A path or a command that is longer than the line stays in one piece: it may be copied.
    for part in textwrap.wrap(shown, room - len(_INDENT), break_long_words=False, break_on_hyphens=False):
        output.line(f"{_INDENT}{part}")
