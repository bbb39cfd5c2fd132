"""Processors on Windows that are not NVIDIA's: names and memory from the registry, use from performance counters.

The counters (since Windows 10 1709) name an adapter by a number of this boot (its LUID) that the registry does not
hold. So use is told only where there is one adapter in each list, and is absent else. Sources:
https://learn.microsoft.com/windows-hardware/drivers/display/registering-hardware-information and
https://learn.microsoft.com/windows/win32/perfctrs/
"""

from __future__ import annotations

import ctypes
import re
import sys
import winreg
from collections.abc import Mapping
from contextlib import suppress

from core.platform.gpu.facts import Adapter, Gpu

assert sys.platform == "win32"

_DISPLAY_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_VENDOR = re.compile(r"VEN_([0-9A-F]{4})", re.IGNORECASE)
_VENDORS = {"10DE": "nvidia", "1002": "amd", "8086": "intel"}
_MEMORY_COUNTER = r"\GPU Adapter Memory(*)\Dedicated Usage"
_ENGINE_COUNTER = r"\GPU Engine(*)\Utilization Percentage"
_LUID = re.compile(r"luid_0x[0-9a-f]+_0x[0-9a-f]+_phys_\d+", re.IGNORECASE)
_MOST = 16
_PDH_FMT_DOUBLE = 0x00000200
_PDH_MORE_DATA = 0x800007D2


class Others:
    """Adapters of other makes than NVIDIA, of which its own library tells more."""

    def __init__(self) -> None:
        self._counters: _Counters | None = None

    def read(self) -> tuple[Gpu, ...]:
        """Those that the registry names. The first reading has no busy share yet: it is a rate between two readings."""
        found = _registered()
        theirs = [gpu for gpu in found if gpu.vendor != "nvidia"]
        if not theirs:
            return ()
        if self._counters is None:
            self._counters = _Counters()
        memory, busy = self._counters.read()
        if len(found) != 1 or len(memory) != 1:
            return tuple(theirs)
        ((luid, used),) = memory.items()
        one = found[0]
        return (Gpu(one.id, one.name, one.vendor, one.memory_total, int(used), busy.get(luid)),)

    def close(self) -> None:
        """Let go of the counters."""
        if self._counters:
            self._counters.close()
            self._counters = None


def adapters() -> tuple[Adapter, ...]:
    """The adapters that the registry names."""
    return tuple(Adapter(gpu.name, gpu.vendor) for gpu in _registered() if gpu.vendor in ("nvidia", "amd"))


def _registered() -> list[Gpu]:
    found = []
    for number in range(_MOST):
        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{_DISPLAY_CLASS}\{number:04}") as key:
            device = _text(key, "MatchingDeviceId")
            # Software adapters, such as that of a remote desktop, are on no bus.
            if (vendor := _VENDOR.search(device)) is None:
                continue
            total = _number(key, "HardwareInformation.qwMemorySize") or _number(key, "HardwareInformation.MemorySize")
            name = _text(key, "DriverDesc") or "GPU"
            found.append(Gpu(f"display-{number:04}", name, _VENDORS.get(vendor[1].upper(), "other"), total))
    return found


def _text(key: winreg.HKEYType, name: str) -> str:
    with suppress(OSError):
        value, _ = winreg.QueryValueEx(key, name)
        return value if isinstance(value, str) else ""
    return ""


def _number(key: winreg.HKEYType, name: str) -> int | None:
    """A number, or the bytes of one, as some drivers write it; None if there is none, or it is 0."""
    with suppress(OSError):
        value, _ = winreg.QueryValueEx(key, name)
        number = int.from_bytes(value, "little") if isinstance(value, bytes) else value
        return number if isinstance(number, int) and number > 0 else None
    return None


class _Value(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W with a double."""

    _fields_ = (("name", ctypes.c_wchar_p), ("status", ctypes.c_uint32), ("value", ctypes.c_double))


class _Counters:
    """A query of the performance counters; without any where the system has none."""

    def __init__(self) -> None:
        self._pdh: ctypes.WinDLL | None = None
        self._query = ctypes.c_void_p()
        self._handles: list[ctypes.c_void_p] = []
        with suppress(OSError, AttributeError):
            pdh = ctypes.WinDLL("pdh")
            if pdh.PdhOpenQueryW(None, None, ctypes.byref(self._query)) == 0:
                self._pdh = pdh
                self._handles = [self._added(pdh, path) for path in (_MEMORY_COUNTER, _ENGINE_COUNTER)]

    def _added(self, pdh: ctypes.WinDLL, path: str) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        with suppress(AttributeError):
            pdh.PdhAddEnglishCounterW(self._query, ctypes.c_wchar_p(path), None, ctypes.byref(handle))
        return handle

    def read(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """By adapter, the bytes of its own memory in use, and the share of time its busiest kind of engine worked."""
        if self._pdh is None or self._pdh.PdhCollectQueryData(self._query) & 0xFFFFFFFF:
            return {}, {}
        memory, engines = (self._values(self._pdh, handle) for handle in self._handles)
        used: dict[str, float] = {}
        for name, value in memory:
            if luid := _LUID.search(name):
                used[luid[0]] = used.get(luid[0], 0.0) + value
        kinds: dict[tuple[str, str], float] = {}
        for name, value in engines:
            # One row for each process and engine: `pid_…_luid_…_phys_0_eng_3_engtype_3D`.
            if luid := _LUID.search(name):
                kind = luid[0], name.rpartition("_engtype_")[2]
                kinds[kind] = kinds.get(kind, 0.0) + value
        busy: dict[str, float] = {}
        for (adapter, _), percent in kinds.items():
            busy[adapter] = max(busy.get(adapter, 0.0), min(percent / 100, 1.0))
        return used, busy

    def _values(self, pdh: ctypes.WinDLL, counter: ctypes.c_void_p) -> list[tuple[str, float]]:
        if counter.value is None:
            return []
        size, count = ctypes.c_uint32(0), ctypes.c_uint32(0)
        sizes = ctypes.byref(size), ctypes.byref(count)
        array = pdh.PdhGetFormattedCounterArrayW
        if array(counter, _PDH_FMT_DOUBLE, *sizes, None) & 0xFFFFFFFF != _PDH_MORE_DATA:
            return []
        buffer = ctypes.create_string_buffer(size.value)
        if array(counter, _PDH_FMT_DOUBLE, *sizes, buffer):
            return []
        rows = ctypes.cast(buffer, ctypes.POINTER(_Value))
        return [(rows[index].name or "", rows[index].value) for index in range(count.value)]

    def close(self) -> None:
        """End the query."""
        if self._pdh is not None:
            self._pdh.PdhCloseQuery(self._query)
            self._pdh = None
