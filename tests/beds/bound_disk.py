"""A disk of another kind for a test: without modes, with another owner, or one that hangs. Linux, as root.

It is bindfs, a file system in user space that shows a folder once more under other rules. While its process is stopped,
the kernel lets every call wait that reaches it, as it does for a network drive whose server is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.beds import BedMissing

_DEADLINE = 10.0


class BoundDisk:
    """The folder `at`, served by a process that can be stopped."""

    def __init__(self, at: Path, process: subprocess.Popen[bytes]) -> None:
        self.at = at
        self._process = psutil.Process(process.pid)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let whoever asks this disk for anything wait until the end of the block."""
        self._process.suspend()
        try:
            yield
        finally:
            self._process.resume()


@contextmanager
def bound_disk(at: Path, *options: str) -> Iterator[BoundDisk]:
    """Have a disk at the folder `at`, which is made; bindfs's `options` say of what kind. Gone with the block.

    Raises `BedMissing` where it cannot be had.
    """
    if sys.platform != "linux":
        raise BedMissing("a disk of another kind needs Linux")
    source = at.with_name(f"{at.name}-source")
    source.mkdir(parents=True)
    at.mkdir(parents=True)
    # Nothing is answered out of the kernel's memory, so that a disk that hangs hangs for all.
    fresh = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
    command = ["bindfs", "-f", "-o", fresh, *options, str(source), str(at)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise BedMissing("a disk of another kind needs bindfs") from None
    try:
        _await_mount(at, process)
        yield BoundDisk(at, process)
    finally:
        # Lazily: whatever a test left open there must not keep it.
        subprocess.run(["umount", "-l", str(at)], capture_output=True, check=False)
        process.terminate()
        process.communicate(timeout=_DEADLINE)


def _await_mount(at: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _DEADLINE
    while not os.path.ismount(at):
        if process.poll() is not None or time.monotonic() > deadline:
            said = process.stdout.read().decode(errors="replace").strip() if process.stdout else ""
            raise BedMissing(f"a disk of another kind cannot be mounted: {said}")
        time.sleep(0.005)
