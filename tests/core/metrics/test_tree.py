"""What a tree of processes takes, on processes that the test makes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from core.metrics.tree import TreeMeter, weights_in
from core.platform.usage import command_of, descendants, measure
from tests import tied

_IDLE = "import sys; print(flush=True); sys.stdin.read()"
_BUSY = "import sys\nprint(flush=True)\nwhile True: pass"


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Started by `_start`, and ended with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def _start(children: list[subprocess.Popen[bytes]], code: str, *words: str) -> int:
    """The pid of a process that has begun to run that code."""
    command = [sys.executable, "-c", code, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    children.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid


def test_a_process_is_measured_as_the_system_tells_of_it(children: list[subprocess.Popen[bytes]]) -> None:
    """By the same figures that psutil has; its command line is told word by word."""
    pid = _start(children, _IDLE, "a b", "")
    usage, theirs = measure(pid), psutil.Process(pid)
    assert usage is not None
    assert usage.memory == pytest.approx(theirs.memory_info().rss, rel=0.05)
    assert usage.threads == theirs.num_threads()
    assert usage.started_at == pytest.approx(theirs.create_time(), abs=1.5)
    assert usage.cpu_seconds == pytest.approx(sum(theirs.cpu_times()[:2]), abs=0.2)
    assert usage.open_files is not None
    # Wine counts no handles.
    assert usage.open_files >= (0 if tied.ON_WINE else 3)
    assert command_of(pid)[-2:] == ("a b", "")
    assert pid in descendants(os.getpid())


def test_a_process_that_has_ended_takes_nothing(children: list[subprocess.Popen[bytes]]) -> None:
    """Neither one that nobody has reaped yet, nor one that is no more."""
    pid = _start(children, _IDLE)
    children[0].kill()
    deadline = time.monotonic() + tied.seconds(5.0)
    while measure(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert measure(pid) is None
    children[0].wait()
    assert (measure(pid), command_of(pid), descendants(pid)) == (None, (), [])


@tied.linux("measures processor time, which Wine hardly counts")
def test_the_tree_adds_up_and_its_time_only_rises(children: list[subprocess.Popen[bytes]]) -> None:
    """What a child uses is told, and is not taken back once the child has ended."""
    idle, busy = _start(children, _IDLE), _start(children, _BUSY)
    meter = TreeMeter()
    first = meter.measure([idle, busy])
    assert first is not None
    assert first.cpu_seconds is not None
    deadline = time.monotonic() + tied.seconds(8.0)
    # However little of a core a busy machine leaves it.
    while (second := meter.measure([idle, busy])) and (second.cpu_seconds or 0.0) < first.cpu_seconds + 0.1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert second is not None
    assert (first.processes, first.cpu) == (2, None)
    assert second.cpu is not None
    assert 0 <= second.cpu < 3
    usages = [usage for pid in (idle, busy) if (usage := measure(pid))]
    assert second.memory == pytest.approx(sum(usage.memory for usage in usages), rel=0.05)
    assert second.started_at == usages[0].started_at
    children[1].kill()
    children[1].wait()
    third = meter.measure([idle, busy])
    assert third is not None
    assert third.processes == 1
    assert (third.cpu_seconds or 0.0) >= (second.cpu_seconds or 0.0) > first.cpu_seconds > 0
    children[0].kill()
    children[0].wait()
    assert meter.measure([idle, busy]) is None
    assert meter.measure([]) is None


@pytest.mark.parametrize(
    ("command", "weights"),
    [
        (("/usr/bin/ollama", "runner", "--model", "/m/blobs/sha256-1", "--port", "1"), "/m/blobs/sha256-1"),
        (("ollama", "runner", "--ollama-engine", "--model=/m/blobs/sha256-1"), "/m/blobs/sha256-1"),
        (("llama-server", "-m", "/m/x"), "/m/x"),
        (("ollama", "runner", "--ollama-engine", "--port", "1"), None),
        (("ollama", "runner", "--model"), None),
        ((), None),
    ],
)
def test_a_runner_names_its_weights_or_does_not(command: tuple[str, ...], weights: str | None) -> None:
    assert weights_in(command) == weights
