"""Runs that share a suite: each test is run by one of them, with its fixtures whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.beds import sharing
from tests.beds.sidecar import CHECKOUT

RUN_DEADLINE = 30.0
NAMES = ("a", "b", "c")
MODULE = """
import pytest

@pytest.fixture(scope="module")
def shared():
    print("{name} up")
    yield
    print("{name} down")

@pytest.mark.parametrize("number", [1, 2, 3])
def test(shared, number):
    print("{name}", number)
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Three files of three tests each, and a folder `claims`."""
    for name in NAMES:
        (tmp_path / f"test_{name}.py").write_text(MODULE.format(name=name))
    (tmp_path / "claims").mkdir()
    return tmp_path


def command(suite: Path, *arguments: str) -> list[str]:
    options = ["-p", sharing.__name__, f"--claims={suite / 'claims'}", f"--rootdir={suite}", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", "-q", "-s", *options, *arguments]


def said(output: str) -> list[str]:
    """What the tests and the fixture printed, without pytest's dots."""
    return re.findall(r"\b[abc] (?:\d|up|down)\b", output)


def run(suite: Path, *arguments: str) -> list[str]:
    result = subprocess.run(
        command(suite, *arguments), cwd=CHECKOUT, capture_output=True, text=True, timeout=RUN_DEADLINE, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return said(result.stdout)


def story(names: str) -> list[str]:
    return [f"{name} {step}" for name in names for step in ("up", 1, 2, 3, "down")]


@pytest.mark.timeout(90)
def test_a_run_takes_what_nobody_has_claimed_and_ends_each_fixture_in_its_file(suite: Path) -> None:
    assert run(suite, f"{suite}/test_a.py::test[3]", f"{suite}/test_b.py::test[2]") == [
        *("a up", "a 3", "a down"),
        *("b up", "b 2", "b down"),
    ]
    assert run(suite, str(suite)) == [
        *("a up", "a 1", "a 2", "a down"),
        *("b up", "b 1", "b 3", "b down"),
        *story("c"),
    ]
    assert run(suite, str(suite)) == []


@pytest.mark.timeout(40)
def test_backwards_the_files_are_reversed_and_the_tests_of_each_are_not(suite: Path) -> None:
    assert run(suite, str(suite), "--backwards") == story("cba")


@pytest.mark.timeout(40)
def test_two_runs_at_once_run_each_test_once(suite: Path) -> None:
    both = [
        subprocess.Popen(command(suite, str(suite), *way), cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for way in ([], ["--backwards"])
    ]
    outputs = [process.communicate(timeout=RUN_DEADLINE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    ran = [words for output in outputs for words in said(output) if words[-1].isdigit()]
    assert sorted(ran) == [f"{name} {number}" for name in NAMES for number in (1, 2, 3)]
