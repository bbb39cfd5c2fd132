"""Each row of the threat model in `docs/security.md` is whole, and each test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
HEAD = ["threat", "who", "what holds it", "test"]
NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


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
