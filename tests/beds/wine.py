"""A Windows Python under Wine on this machine, for Windows programs that are watched from outside.

Where its parts are says the environment: `AURA_TEST_WINE_PREFIX` (a prefix that nobody else uses meanwhile: Wine takes
its screen from the first program that starts in it), `AURA_TEST_WINE_PYTHON` (`python.exe`), `AURA_TEST_WINE_SITE` (the
folder with the Windows wheels) and `AURA_TEST_WINE_OLLAMA` (`ollama.exe`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.beds import BedMissing

START_DEADLINE = 60.0
STOP_DEADLINE = 20.0


@dataclass(frozen=True, slots=True)
class Wine:
    """The parts, all as this machine's own paths."""

    prefix: Path
    python: Path
    site: Path
    ollama: Path

    def command(self, *arguments: str | Path) -> list[str]:
        """What runs the Windows Python with these arguments; a `Path` among them becomes a Windows path.

        None of its standard streams may be a regular file, in which Wine 8 sees an invalid handle.
        """
        return [
            "wine",
            str(self.python),
            *(windows_path(each) if isinstance(each, Path) else each for each in arguments),
        ]

    def environment(self, display: str, *imports: Path) -> dict[str, str]:
        """The environment of every program in the prefix, on that screen, with `imports` to import from."""
        places = [windows_path(place) for place in (self.site, *imports)]
        return os.environ | {
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # No dialogs that offer downloads, and no debugger that waits.
            "WINEDLLOVERRIDES": "mscoree=;mshtml=;winedbg.exe=",
            "DISPLAY": display,
            "PYTHONPATH": ";".join(places),
            "PYTHONDONTWRITEBYTECODE": "1",
            # What the OpenMP of this Ollama asks of the processor, Wine cannot answer.
            "KMP_AFFINITY": "disabled",
        }

    @contextmanager
    def running(self, display: str) -> Iterator[None]:
        """The prefix with its desktop on that screen. Everything that runs in it has ended before and ends after."""
        environment = self.environment(display)
        self._end(environment)
        try:
            start = self.command("-c", "import ctypes; ctypes.WinDLL('user32').GetDesktopWindow()")
            quiet = subprocess.DEVNULL
            done = subprocess.run(
                start, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=START_DEADLINE
            )
            if done.returncode:
                raise BedMissing(f"Wine cannot run {self.python}: exit code {done.returncode}")
            yield
        finally:
            self._end(environment)

    def _end(self, environment: dict[str, str]) -> None:
        # Fails where nothing runs; and `-w` waits for the server itself, which is the last to go.
        subprocess.run(["wineserver", "-k"], env=environment, timeout=STOP_DEADLINE, check=False)
        subprocess.run(["wineserver", "-w"], env=environment, timeout=STOP_DEADLINE, check=False)


def wine() -> Wine:
    """The bed that the environment names. Raises `BedMissing`."""
    for program in ("wine", "wineserver"):
        if shutil.which(program) is None:
            raise BedMissing(f"{program} is missing (Debian: wine)")
    return Wine(*(_named(name) for name in ("PREFIX", "PYTHON", "SITE", "OLLAMA")))


def _named(part: str) -> Path:
    variable = f"AURA_TEST_WINE_{part}"
    path = Path(os.environ.get(variable, ""))
    if not path.is_absolute() or not path.exists():
        raise BedMissing(f"{variable} names nothing that exists: {str(path)!r}")
    return path


def windows_path(path: Path) -> str:
    """How a program under Wine names a file of this machine."""
    return "Z:" + str(path.absolute()).replace("/", "\\")
