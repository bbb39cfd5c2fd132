"""Ctrl-C at any moment of a command: it ends without a traceback.

The moments are counted in what Python itself tells of its work (audit events), not in time: the program interrupts
itself at the one that is meant.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli import exits
from tests.beds.ending import NO_WINDOW
from tests.beds.sidecar import CHECKOUT
from tests.cli.terminal import DEADLINE, environment

pytestmark = pytest.mark.timeout(120)

# Arguments: the moment (0: never), and those of the command. Without a moment stderr ends with their number.
AT_A_MOMENT = """
import atexit, os, runpy, signal, sys
at, seen, begun = int(sys.argv.pop(1)), 0, False
def count(event, arguments):
    global seen, begun
    if event == "import" and arguments[0] == "cli.table":
        begun = True
    if begun and event in ("import", "open", "exec", "compile", "os.listdir"):
        seen += 1
        if seen == at:
            signal.raise_signal(signal.SIGINT)
sys.addaudithook(count)
sys.argv[0] = "aura-ollama"
if not at:
    atexit.register(lambda: os.write(2, str(seen).encode()))
runpy.run_module("cli", run_name="__main__", alter_sys=True)
"""
MOMENTS = 6


def ended(at: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """That command, interrupted at that moment."""
    return subprocess.run(
        [sys.executable, "-c", AT_A_MOMENT, str(at), *arguments],
        cwd=CHECKOUT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
        creationflags=NO_WINDOW,
    )


@pytest.mark.parametrize("command", [("--help",), ("status",), ("doctor", "--help")], ids=" ".join)
def test_an_interrupt_at_any_moment_is_no_traceback(command: tuple[str, ...], tmp_path: Path) -> None:
    arguments = (*command, "--data-dir", str(tmp_path))
    whole = ended(0, *arguments)
    moments = int(whole.stderr.split()[-1])
    assert moments > MOMENTS
    for at in {1 + moments * number // MOMENTS for number in range(MOMENTS)}:
        done = ended(at, *arguments)
        assert done.returncode == exits.INTERRUPTED, (at, done)
        assert "Traceback" not in done.stderr, (at, done.stderr)
        assert "KeyboardInterrupt" not in done.stderr, (at, done.stderr)
