"""`python -m release --out DIR`: the portable program for the system and the Python that this runs on.

Needs PyInstaller beside what the program itself needs. Leaves the folder `DIR/aura-ollama`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import PyInstaller.__main__

from core import __version__

_CHECKOUT = Path(__file__).resolve().parent.parent
_PACKAGES = ("core", "api", "tray", "cli", "icons")
_NAME = "aura-ollama"


def main(arguments: Sequence[str] | None = None) -> int:
    """Build by the command line. The exit code."""
    parser = argparse.ArgumentParser(prog="python -m release", description="Builds the portable program.")
    parser.add_argument(
        "--out", type=Path, required=True, help=f"the folder that gets {_NAME}/; an old one is replaced"
    )
    parser.add_argument("--version", type=_version, default=__version__, help="what to call it (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(build(options.out.absolute(), options.version))
    return 0


def _version(text: str) -> str:
    if re.fullmatch(r"\d+(\.\d+){1,3}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no version; give two to four numbers, such as {__version__}")


def build(out: Path, version: str = __version__) -> Path:
    """Build `out/aura-ollama`, and return it. Whatever was there goes."""
    with tempfile.TemporaryDirectory(prefix="aura-build-") as work:
        source, built = Path(work, "source"), Path(work, "built")
        _stage(source, version)
        recipe = str(Path(__file__).with_name("aura-ollama.spec"))
        folders = ["--distpath", str(built), "--workpath", str(Path(work, "work"))]
        PyInstaller.__main__.run(["--noconfirm", "--log-level", "WARN", *folders, recipe, "--", str(source)])
        target = out / _NAME
        if target.exists():
            shutil.rmtree(target)
        out.mkdir(parents=True, exist_ok=True)
        shutil.move(built / _NAME, target)
    return target


def _stage(source: Path, version: str) -> None:
    """Copy the packages, stamped with `version`, so that a trial build can be told from the release."""
    for package in _PACKAGES:
        shutil.copytree(_CHECKOUT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    stamped = source / "core/__init__.py"
    text, count = re.subn(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', stamped.read_text())
    if count != 1:
        raise RuntimeError(f"{stamped} does not say its version once")
    stamped.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
