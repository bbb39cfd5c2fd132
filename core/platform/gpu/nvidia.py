"""NVIDIA's processors, by the driver's own library (NVML), through nvidia-ml-py. Linux and Windows.

The binding takes 15 MB of memory, so it is imported only where the driver's library is. A machine without that has no
such processor. Source: https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from core.platform.gpu.facts import Gpu

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST = 64


class Nvidia:
    """NVML, opened when it is first read and held until `close`: opening it takes longer than asking."""

    def __init__(self) -> None:
        self._nvml: ModuleType | None = None
        self._is_fault_known = False

    def read(self) -> tuple[Gpu, ...]:
        """All that the driver lists, in its order; none without a driver, or if it fails."""
        try:
            nvml = self._opened()
            if nvml is None:
                return ()
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(min(nvml.nvmlDeviceGetCount(), _MOST))]
            return tuple(_gpu(nvml, index, handle) for index, handle in enumerate(handles))
        except Exception as error:
            # A driver that is being exchanged, or a library of another make: what it may raise is not known.
            if not self._is_fault_known:
                self._is_fault_known = True
                log.warning("NVIDIA's driver does not tell of its cards: %s", error)
            self.close()
            return ()

    def _opened(self) -> ModuleType | None:
        if self._nvml is None:
            if not _has_library():
                return None
            import pynvml

            try:
                pynvml.nvmlInit()
            except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
                return None
            self._nvml = pynvml
        return self._nvml

    def close(self) -> None:
        """Let go of the driver."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            _told(nvml, nvml.nvmlShutdown)


def _has_library() -> bool:
    """Whether the driver's library is where the binding looks for it."""
    if sys.platform == "win32":
        places = (
            os.path.join(os.environ.get("WINDIR", "C:/Windows"), "System32/nvml.dll"),
            os.path.join(os.environ.get("PROGRAMFILES", "C:/Program Files"), "NVIDIA Corporation/NVSMI/nvml.dll"),
        )
        return any(map(os.path.exists, places))
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


def _gpu(nvml: ModuleType, index: int, handle: object) -> Gpu:
    memory = _told(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    milliwatts = _told(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    degrees = _told(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    return Gpu(
        id=_told(nvml, lambda: str(nvml.nvmlDeviceGetUUID(handle))) or f"nvidia-{index}",
        name=_told(nvml, lambda: str(nvml.nvmlDeviceGetName(handle))) or "NVIDIA GPU",
        vendor="nvidia",
        memory_total=int(memory.total) if memory else None,
        memory_used=int(memory.used) if memory else None,
        busy=rates.gpu / 100 if rates else None,
        temperature=None if degrees is None else float(degrees),
        power=None if milliwatts is None else milliwatts / 1000,
    )


def _told(nvml: ModuleType, ask: Callable[[], T]) -> T | None:
    """The answer; None for what this card or this driver does not know."""
    try:
        return ask()
    except nvml.NVMLError:
        return None
