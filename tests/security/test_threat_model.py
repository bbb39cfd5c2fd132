"""Each row of the threat model in `docs/security.md` is whole, and each test that it names exists and is run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests import tied
from tests.beds.sidecar import CHECKOUT

HEAD = ["threat", "who", "what holds it", "test"]
NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
# Prints what pytest would run of its arguments: neither marked as skipped, nor skipped on this system.
COLLECT = """
import sys, pytest

def is_skipped(item):
    return any(mark.name == "skip" or mark.name == "skipif" and mark.args[0] for mark in item.iter_markers())

class Collected:
    def pytest_collection_finish(self, session):
        print(*(item.nodeid for item in session.items if not is_skipped(item)), sep="\\n")

sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *sys.argv[1:]], [Collected()]))
"""


def rows() -> list[list[str]]:
    """The cells of each row below the table's head."""
    text = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == HEAD
    return cells[2:]


@cache
def known_in(path: str) -> frozenset[str]:
    """The names of the test functions in a file; none if there is no such file."""
    file = CHECKOUT / path
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_threat_has_somebody_who_poses_it_something_that_holds_it_and_a_test() -> None:
    for row in rows():
        assert len(row) == len(HEAD), row
        assert all(row), row
        assert NAME.sub("", row[-1]).strip(" ,") == "", row


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = [match for row in rows() for match in NAME.findall(row[-1])]
    assert len(named) >= len(rows())
    assert [f"{path}::{test}" for path, test in named if test not in known_in(path)] == []


def test_every_test_of_this_folder_holds_a_threat_of_the_table() -> None:
    """By file, so that no attack is forgotten in the model."""
    here = {path.relative_to(CHECKOUT).as_posix() for path in Path(__file__).parent.glob("test_*.py")}
    named = {path for row in rows() for path, _ in NAME.findall(row[-1])}
    assert here - named <= {"tests/security/test_threat_model.py", "tests/security/test_load.py"}


@tied.linux("only Linux runs all but those for Windows")
@pytest.mark.timeout(60)  # every file that is named is imported
def test_every_test_that_the_threat_model_names_is_run() -> None:
    """Those in files for Windows run on Windows and in Wine alone: `python -m tests.beds windows`."""
    named = {found for row in rows() for found in NAME.findall(row[-1])}
    here = {f"{path}::{test}" for path, test in named if not path.endswith("_windows.py")}
    assert len(here) > len(named) * 0.9
    command = [sys.executable, "-c", COLLECT, *sorted(here)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert here - {line.partition("[")[0] for line in done.stdout.splitlines()} == set()
