"""To which place the time or the memory of a program goes, as lines for a person: by py-spy and strace. Linux."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

MOST_PLACES = 8
SAMPLES_A_SECOND = 500
_ATTACH_SECONDS = 5.0


def by_function(pid: int, seconds: float) -> list[str]:
    """The functions in which its threads spent their busy time, the innermost first, by py-spy (PyPI: py-spy).

    The program must be at work meanwhile.
    """
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        return ["py-spy is missing: pip install py-spy, or ./dev bench"]
    with TemporaryDirectory() as top:
        stacks = Path(top) / "stacks"
        command = [str(spy), "record", "--pid", str(pid), "--duration", f"{max(1, round(seconds))}", "--format", "raw"]
        command += ["--rate", str(SAMPLES_A_SECOND), "--nonblocking", "--output", str(stacks)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not stacks.exists():
            return [f"py-spy cannot look: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}"]
        return _places(stacks.read_text().splitlines())


def _places(stacks: Sequence[str]) -> list[str]:
    """Of collapsed stacks, each with its count: the innermost functions, with their shares."""
    counts: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        counts[re.sub(r":\d+\)$", ")", stack.rpartition(";")[2])] += int(count)
    total = counts.total() or 1
    return [f"{count / total:4.0%} {place}" for place, count in counts.most_common(MOST_PLACES)]


def by_import(module: str, cwd: Path) -> list[str]:
    """The modules whose import takes longest, by `python -X importtime`, each with all that it imports itself."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    told = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stderr
    rows = [
        (int(each[1]), each[2])
        for each in re.finditer(r"import time:\s+\d+ \|\s+(\d+) \| (.*)", told)
        if each[2].strip()
    ]
    rows.sort(reverse=True)
    return [f"{microseconds / 1000:5.1f} ms {name.strip()}" for microseconds, name in rows[:MOST_PLACES]]


@contextlib.contextmanager
def system_calls(pid: int, *, only: str | None = None) -> Iterator[list[str]]:
    """The lines of strace about that process, all its threads and children, while the block runs: filled at its end.

    `only` is an expression of strace's, such as `execve,listen`; other calls then run at their full speed. Each line
    begins with a pid and the seconds since 1970.
    """
    lines: list[str] = []
    if not shutil.which("strace"):
        lines.append("strace is missing (Debian: strace)")
        yield lines
        return
    with TemporaryDirectory() as top:
        trace = Path(top) / "trace"
        command = ["strace", "-f", "-ttt", "-s", "64", "-o", str(trace), "-p", str(pid)]
        command += ["-e", f"trace={only}"] if only else []
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            # It says which process it has attached to, or why it cannot.
            tracer.stderr.readline()
            try:
                yield lines
            finally:
                tracer.terminate()
        lines += trace.read_text(errors="replace").splitlines()


def by_call(lines: Sequence[str], seconds: float) -> list[str]:
    """How often a second which system call was made, the most frequent first."""
    names = Counter(found[1] for line in lines if (found := re.match(r"\d+\s+[\d.]+ (\w+)\(", line)))
    return [f"{count / seconds:6.1f}/s {name}" for name, count in names.most_common(MOST_PLACES)]


@contextlib.contextmanager
def again_and_again(work: Callable[[], object]) -> Iterator[None]:
    """Have that done on a thread, one call after the other, until the block ends."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            work()

    thread = threading.Thread(target=run, name="again")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
