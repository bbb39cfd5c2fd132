"""The processors of a Mac, as `ioreg` tells of its accelerators."""

from __future__ import annotations

import subprocess
import sys

from core.platform.gpu.facts import Adapter, Gpu
from core.platform.gpu.ioreg import accelerators

assert sys.platform == "darwin"

_COMMAND = ("/usr/sbin/ioreg", "-r", "-d", "1", "-c", "IOAccelerator", "-a")
_SECONDS = 2.0


class Others:
    """Every accelerator that the registry holds."""

    def read(self) -> tuple[Gpu, ...]:
        """Takes some 20 ms; none if `ioreg` does not answer within 2 s."""
        try:
            told = subprocess.run(_COMMAND, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True)
        except (OSError, subprocess.SubprocessError):
            return ()
        return accelerators(told.stdout)

    def close(self) -> None:
        """Nothing is held."""


def adapters() -> tuple[Adapter, ...]:
    """None: what a Mac has, its system has the driver for."""
    return ()
