"""A small disk of a test's own, which can be filled to the last byte without harm to anybody. Linux, as root."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.beds import BedMissing

CLONE_FS, CLONE_NEWNS = 0x00000200, 0x00020000
BALLAST = "ballast"


@contextmanager
def small_disk(at: Path, size: int, options: str = "exec") -> Iterator[Path]:
    """Have a disk of `size` bytes at the folder `at`, which only this thread and what it starts can see.

    `options` are those of mount(8).

    Raises `BedMissing` where mounting is not allowed. It is gone with the block, or with this process.
    """
    if sys.platform != "linux":
        raise BedMissing("a disk of a test's own needs Linux")
    home, before = Path.cwd(), os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    try:
        _call("unshare", CLONE_NEWNS)
        try:
            _mount("--make-rprivate", "/")
            _mount("-t", "tmpfs", "-o", f"size={size},mode=0700,{options}", "tmpfs", str(at))
            yield at
        finally:
            # A thread that was started in the block, and is about to end, still shares root and folder with this one,
            # and nobody who shares them may go: setns(2).
            _call("unshare", CLONE_FS)
            _call("setns", before, CLONE_NEWNS)
            os.chdir(home)
    finally:
        os.close(before)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise BedMissing(f"a disk of a test's own needs root: {name}: {os.strerror(ctypes.get_errno())}")


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedMissing(f"a disk of a test's own cannot be mounted: {done.stderr.strip()}")


def fill(disk: Path) -> None:
    """Leave no byte free on it."""
    with (disk / BALLAST).open("ab", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def make_room(disk: Path) -> None:
    """Undo `fill`."""
    (disk / BALLAST).unlink()
