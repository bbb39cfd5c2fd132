"""A screen without a monitor, and the programs of Debian that a test needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.beds import BedMissing


@contextmanager
def screen(size: str = "640x480x24") -> Iterator[str]:
    """An X display of our own; yields its name, as for DISPLAY. Raises BedMissing."""
    found = program("Xvfb", "xvfb")
    reader, writer = os.pipe()
    command = [found, "-displayfd", str(writer), "-screen", "0", size, "-nolisten", "tcp"]
    with os.fdopen(reader) as said:
        process = subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(writer)
        with process:
            try:
                yield f":{said.readline().strip()}"
            finally:
                process.terminate()


@contextmanager
def compositor(folder: Path) -> Iterator[dict[str, str]]:
    """A Wayland compositor without a screen; yields the environment of its programs. Raises BedMissing."""
    found = program("weston", "weston")
    folder.mkdir(mode=0o700)
    socket = folder / "wayland-9"
    env = {"XDG_RUNTIME_DIR": str(folder), "WAYLAND_DISPLAY": socket.name}
    command = [found, "--backend=headless-backend.so", f"--socket={socket.name}", "--no-config", "--idle-time=0"]
    silence = subprocess.DEVNULL
    with subprocess.Popen(command, env=os.environ | env, stdin=silence, stdout=silence, stderr=silence) as process:
        try:
            deadline = time.monotonic() + 10
            while not socket.exists():
                if time.monotonic() > deadline:
                    raise RuntimeError("the compositor does not start")
                time.sleep(0.02)
            yield env
        finally:
            process.terminate()


def program(name: str, package: str) -> str:
    """The path of a program. Raises BedMissing, with the Debian package that has it."""
    found = shutil.which(name)
    if found is None:
        raise BedMissing(f"{name} is missing (Debian: {package})")
    return found
