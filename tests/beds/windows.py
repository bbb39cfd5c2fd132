"""The whole suite in a Windows of its own, and the count of what ran there."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.beds import sharing
from tests.beds.screen import screen
from tests.beds.sidecar import CHECKOUT
from tests.beds.wine import windows_path, wine
from tests.beds.wire import PORTS

# Far more than any machine needs: it ends a run that hangs.
RUN_DEADLINE = 3000.0
LAST_WORDS_SECONDS = 5.0
# Only a thread can end a test that hangs there, and it ends the whole run: this is a last resort.
TEST_SECONDS = 180
MOST_BEYOND_WINE = 9
MOST_ONCE_MORE = 5
REPORT = "report.xml"
TIED = re.compile(r"tied to (Linux|POSIX): ")
# One part keeps one processor busy at most.
PARTS = 2
# Below those that the system gives to whoever asks for any. A part's own are never another part's.
FIRST_PORT = 20000
PORTS_EACH = 6000


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest in Windows, show its output, and print what was counted. 0 if all passed, else 1.

    More than one file is run in two parts side by side, each in a Windows and on a screen of its own, which share the
    tests as `tests.beds.sharing` says. Each line that they print begins with the number of the part.
    A test beyond Wine counts as passed, unless there are too many. Raises `BedMissing`.

    In CI, where others keep the machine busy, up to 5 tests that failed are named and run once more, alone.
    """
    deadline = time.monotonic() + RUN_DEADLINE
    codes, counts = _run([None] if _is_one_file(arguments) else range(PARTS), arguments, deadline)
    if len(counts) < len(codes):
        print(f"pytest in Windows ended with {codes} before it could report.", file=sys.stderr)
        return 1
    count = sum(counts[1:], counts[0])
    print(f"Not asked for here: {', '.join(_for_linux_alone())}.\n{count.words}", flush=True)
    if not any(codes) and count.is_good:
        return 0
    failed = count.failed_tests
    if not os.environ.get("CI") or max(codes) > 1 or not count.is_all_there or not 0 < len(failed) <= MOST_ONCE_MORE:
        return 1
    print(f"Failed, and run once more, alone: {', '.join(failed)}.", flush=True)
    codes, counts = _run([None], failed, deadline)
    return 0 if codes == [0] and counts[0].passed == len(failed) else 1


def _run(numbers: Iterable[int | None], arguments: Sequence[str], deadline: float) -> tuple[list[int], list[Count]]:
    """The exit code of each part, and what those counted that came to report. Raises `BedMissing`."""
    with ExitStack() as stack:
        claims = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aura-claims-")))
        parts = [stack.enter_context(_part(number, claims, arguments)) for number in numbers]
        codes = [part.wait(deadline) for part in parts]
        return codes, [Count.read(part.report) for part in parts if part.report.exists()]


def _is_one_file(arguments: Sequence[str]) -> bool:
    named = [CHECKOUT / argument.partition("::")[0] for argument in arguments if not argument.startswith("-")]
    places = [path for path in named if path.exists()]
    return len(places) == 1 and places[0].is_file()


@dataclass(frozen=True, slots=True)
class Count:
    """How the tests of one run ended. `failed_tests` are named as pytest's command line names them."""

    passed: int
    failed_tests: tuple[str, ...]
    beyond_wine: int
    tied: int
    skipped: int

    @classmethod
    def read(cls, report: Path) -> Count:
        """What a report in JUnit's format says. A skip must name its reason as tests/tied.py writes it."""
        passed = beyond = tied = skipped = 0
        failed = dict[str, None]()
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it
            left = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                # Its test and its fixtures' end may fail both.
                failed[f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"] = None
            elif left is None:
                passed += 1
            elif "beyond Wine: " in (reason := left.get("message", "")):
                beyond += 1
            elif TIED.search(reason):
                tied += 1
            else:
                skipped += 1
        return cls(passed, tuple(failed), beyond, tied, skipped)

    def __add__(self, other: Count) -> Count:
        """Both together."""
        return Count(
            self.passed + other.passed,
            self.failed_tests + other.failed_tests,
            self.beyond_wine + other.beyond_wine,
            self.tied + other.tied,
            self.skipped + other.skipped,
        )

    @property
    def is_good(self) -> bool:
        """Whether everything that can run did, and passed."""
        return self.is_all_there and not self.failed_tests

    @property
    def is_all_there(self) -> bool:
        """Whether everything that can run did."""
        return self.passed > 0 and not self.skipped and self.beyond_wine <= MOST_BEYOND_WINE

    @property
    def words(self) -> str:
        """One line for a person."""
        return (
            f"Windows: {self.passed} passed, {len(self.failed_tests)} failed, {self.beyond_wine} beyond Wine "
            f"(at most {MOST_BEYOND_WINE}), {self.tied} tied to another system, {self.skipped} skipped otherwise."
        )


def _for_linux_alone() -> list[str]:
    """The test files that are for Linux alone, and are not even collected elsewhere."""
    tests = CHECKOUT / "tests"
    found = [*tests.rglob("test_*_linux.py"), *(tests / "chaos").glob("test_*.py")]
    return sorted(path.relative_to(tests).as_posix() for path in found)


@dataclass(frozen=True, slots=True)
class _Part:
    """One pytest in a Windows of its own."""

    process: subprocess.Popen[bytes]
    report: Path

    def wait(self, deadline: float) -> int:
        """Its exit code; at `deadline`, on the monotonic clock, it is ended."""
        try:
            return self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"The tests in Windows took longer than {RUN_DEADLINE:.0f} s, and were ended.", file=sys.stderr)
            self.process.kill()
            return self.process.wait()


@contextmanager
def _part(number: int | None, claims: Path, arguments: Sequence[str]) -> Iterator[_Part]:
    """Start part `number`, which shares its tests by way of the folder `claims`; None is all of them.

    Its report lies in its Windows, and is gone at the end, as is all that it started. Raises `BedMissing`.
    """
    options = [f"--junitxml=C:\\{REPORT}", f"--timeout={TEST_SECONDS}", "-p", "no:cacheprovider"]
    if number is not None:
        options += ["-p", sharing.__name__, f"--claims={windows_path(claims)}", *(["--backwards"] if number else [])]
    with wine() as bed, screen("1024x768x24") as display, bed.running(display):
        environment = bed.environment(display, CHECKOUT)
        if number is not None:
            first = FIRST_PORT + number * PORTS_EACH
            environment[PORTS] = f"{first}-{first + PORTS_EACH - 1}"
        command = bed.command("-m", "pytest", *options, *arguments)
        # By way of a pipe, since Wine cannot write to a regular file.
        reader, writer = os.pipe()
        with subprocess.Popen(
            command, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer
        ) as process:
            os.close(writer)
            # What a test left behind may hold the pipe open for longer than anybody would wait.
            shown = threading.Thread(target=_show, args=[reader, number], daemon=True)
            shown.start()
            try:
                yield _Part(process, bed.prefix / "drive_c" / REPORT)
            finally:
                process.kill()
                shown.join(LAST_WORDS_SECONDS)


def _show(reader: int, number: int | None) -> None:
    """Copy what it prints to our output: as it comes, or by whole lines with the number of its part before each."""
    out = sys.stdout.buffer
    with open(reader, "rb", buffering=0) as words:
        if number is None:
            while block := words.read(1 << 16):
                out.write(block)
                out.flush()
        else:
            for line in io.BufferedReader(words):
                # One call, so that no other part's line gets in between.
                out.write(b"%d| %s\n" % (number + 1, line.rstrip()))
                out.flush()
