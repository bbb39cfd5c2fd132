"""How far a job is, as it changes: a bar on a terminal, lines where there is none, JSON for programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cli import output
from core.text import on_one_line

Show = Callable[[dict[str, Any]], None]
"""Shows a snapshot of a job: the body of `GET /api/ollama/jobs/{id}`."""

_NARROW = 64
_STEP_PERCENT = 10


@contextmanager
def progress_of(name: str, *, is_json: bool) -> Iterator[Show]:
    """What shows each snapshot of the job that pulls that model, until the block ends."""
    if is_json:
        yield output.as_json
    elif output.is_terminal() and os.environ.get("TERM") != "dumb":
        with _bar(name) as show:
            yield show
    else:
        yield _Lines(name).show


class _Lines:
    """A line at the beginning, whenever something else is done or waited for, and at every tenth of the way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: tuple[str, str, int] | None = None

    def show(self, job: dict[str, Any]) -> None:
        """Print a line if it is worth one. How it has ended is for others to tell."""
        key = job["state"], job["step"], job["percent"] // _STEP_PERCENT
        if key == self._last or job["state"] not in ("queued", "running"):
            return
        self._last = key
        output.text(on_one_line(f"{self._name}: {job['message']}") + "\n")


@contextmanager
def _bar(name: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    output.text(on_one_line(f"Pulling {name}") + "\n")
    console = Console()
    words = TextColumn("{task.fields[words]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    # Drawn only when there is news: a thread would draw at any time, also into a question.
    bar = Progress(BarColumn(bar_width=None), words, console=console, auto_refresh=False, expand=True, transient=True)
    with bar:
        task = bar.add_task("", total=100, words="")

        def show(job: dict[str, Any]) -> None:
            message = on_one_line(job["message"])
            if console.width < _NARROW:
                # `34 % of 2 GB, 12 MB/s, 2 min left` without the size.
                share, comma, rest = message.partition(", ")
                message = share.partition(" of ")[0] + comma + rest
            bar.update(task, completed=job["percent"], words=message, refresh=True)

        yield show
