"""Which graphics processors this machine has, and what they do: equal names on each system. Not for the shim.

- `GpuReader`: asks again and again, and holds what it needs for that until it is closed.
- `installed_gpus()`: asks once.
- `adapters()`: the cards of NVIDIA and AMD that are on the bus, whether a driver tells of them or not.

Everything here blocks for some milliseconds, up to a second for the first question to a sleeping card: call it in a
thread. What a driver does not tell is absent (None), never 0. No driver, no card and no rights are no error: nothing is
listed then.
"""

from __future__ import annotations

import sys

from core.platform.gpu.facts import Adapter, Gpu
from core.platform.gpu.nvidia import Nvidia

if sys.platform == "win32":
    from core.platform.gpu.windows import Others, adapters
elif sys.platform == "darwin":
    from core.platform.gpu.darwin import Others, adapters
else:
    from core.platform.gpu.linux import Others, adapters

__all__ = ["Adapter", "Gpu", "GpuReader", "adapters", "installed_gpus"]


class GpuReader:
    """Reads all processors of this machine. One thread at a time."""

    def __init__(self) -> None:
        self._nvidia = Nvidia()
        self._others = Others()

    def read(self) -> tuple[Gpu, ...]:
        """Each processor that a driver tells of, NVIDIA's first, in the drivers' order. Raises nothing."""
        return (*self._nvidia.read(), *self._others.read())

    def close(self) -> None:
        """Let go of the drivers, which may then put their cards to sleep. A later `read` begins anew."""
        self._nvidia.close()
        self._others.close()


def installed_gpus() -> tuple[Gpu, ...]:
    """What a `GpuReader` reads, once."""
    reader = GpuReader()
    try:
        return reader.read()
    finally:
        reader.close()
