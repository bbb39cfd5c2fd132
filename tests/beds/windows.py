"""The whole suite in a Windows of its own, and the count of what ran there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.beds.screen import screen
from tests.beds.sidecar import CHECKOUT
from tests.beds.wine import wine

RUN_DEADLINE = 3000.0
LAST_WORDS_SECONDS = 5.0
# Only a thread can end a test that hangs there, and it ends the whole run: this is a last resort.
TEST_SECONDS = 90
MOST_BEYOND_WINE = 9
REPORT = "report.xml"
TIED = re.compile(r"tied to (Linux|POSIX): ")


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest in Windows, show its output, and print what was counted. 0 if all passed, else 1.

    A test beyond Wine counts as passed, unless there are too many. Raises `BedMissing`.
    """
    options = [f"--junitxml=C:\\{REPORT}", f"--timeout={TEST_SECONDS}", "-p", "no:cacheprovider"]
    with wine() as bed, screen("1024x768x24") as display, bed.running(display):
        command = bed.command("-m", "pytest", *options, *arguments)
        code = _show(command, bed.environment(display, CHECKOUT))
        report = bed.prefix / "drive_c" / REPORT
        if not report.exists():
            print(f"pytest in Windows ended with {code} before it could report.", file=sys.stderr)
            return 1
        count = Count.read(report)
    print(f"Not asked for here: {', '.join(_for_linux_alone())}.\n{count.words}", flush=True)
    return 0 if code == 0 and count.is_good else 1


@dataclass(frozen=True, slots=True)
class Count:
    """How the tests of one run ended."""

    passed: int
    failed: int
    beyond_wine: int
    tied: int
    skipped: int

    @classmethod
    def read(cls, report: Path) -> Count:
        """What a report in JUnit's format says. A skip must name its reason as tests/tied.py writes it."""
        passed = failed = beyond = tied = skipped = 0
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it
            left = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif left is None:
                passed += 1
            elif "beyond Wine: " in (reason := left.get("message", "")):
                beyond += 1
            elif TIED.search(reason):
                tied += 1
            else:
                skipped += 1
        return cls(passed, failed, beyond, tied, skipped)

    @property
    def is_good(self) -> bool:
        """Whether everything that can run did, and passed."""
        return self.passed > 0 and not self.failed and not self.skipped and self.beyond_wine <= MOST_BEYOND_WINE

    @property
    def words(self) -> str:
        """One line for a person."""
        return (
            f"Windows: {self.passed} passed, {self.failed} failed, {self.beyond_wine} beyond Wine "
            f"(at most {MOST_BEYOND_WINE}), {self.tied} tied to another system, {self.skipped} skipped otherwise."
        )


def _for_linux_alone() -> list[str]:
    """The test files that are for Linux alone, and are not even collected elsewhere."""
    tests = CHECKOUT / "tests"
    found = [*tests.rglob("test_*_linux.py"), *(tests / "chaos").glob("test_*.py")]
    return sorted(path.relative_to(tests).as_posix() for path in found)


def _show(command: list[str], environment: dict[str, str]) -> int:
    """Run it, with its output on ours, and return its exit code."""
    # By way of a pipe, since Wine cannot write to a regular file.
    reader, writer = os.pipe()
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer
    ) as process:
        os.close(writer)
        # What a test left behind may hold the pipe open for longer than anybody would wait.
        shown = threading.Thread(target=_copy, args=[reader], daemon=True)
        shown.start()
        try:
            code = process.wait(RUN_DEADLINE)
        except subprocess.TimeoutExpired:
            print(f"The tests in Windows took longer than {RUN_DEADLINE:.0f} s, and were ended.", file=sys.stderr)
            process.kill()
            code = process.wait()
        shown.join(LAST_WORDS_SECONDS)
    return code


def _copy(reader: int) -> None:
    with open(reader, "rb", buffering=0) as words:
        while block := words.read(1 << 16):
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
