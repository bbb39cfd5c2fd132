"""What `ioreg -r -d 1 -c IOAccelerator -a` prints, a property list, into processors. Pure, and on every system."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from xml.parsers.expat import ExpatError

from core.platform.gpu.facts import Gpu

_MEBIBYTE = 1 << 20


def accelerators(document: bytes) -> tuple[Gpu, ...]:
    """The processors in it; none if it is no such list.

    An Apple processor shares the machine's memory and has no total of its own; what it holds of it is "in use". One of
    AMD has its own: `VRAM,totalMB`.
    """
    try:
        rows = plistlib.loads(document)
    except (ValueError, plistlib.InvalidFileException, ExpatError, OverflowError):
        return ()
    return tuple(_gpu(index, row) for index, row in enumerate(rows) if isinstance(row, Mapping)) if rows else ()


def _gpu(index: int, row: Mapping[str, object]) -> Gpu:
    found = row.get("PerformanceStatistics")
    told = found if isinstance(found, Mapping) else {}
    name = _name(row) or "GPU"
    percent = _number(told.get("Device Utilization %"))
    megabytes = _number(row.get("VRAM,totalMB"))
    used = _number(told.get("vramUsedBytes"))
    return Gpu(
        id=f"ioreg-{_number(row.get('IORegistryEntryID')) or index}",
        name=name,
        vendor=_vendor(name),
        memory_total=None if megabytes is None else megabytes * _MEBIBYTE,
        memory_used=_number(told.get("In use system memory")) if used is None else used,
        busy=None if percent is None else min(percent, 100) / 100,
        temperature=_real(told.get("Temperature(C)")),
        power=_real(told.get("Total Power(W)")),
    )


def _name(row: Mapping[str, object]) -> str:
    """Apple's processors have it as a text, others as bytes that end in a zero."""
    name = row.get("model")
    if isinstance(name, bytes):
        name = name.rstrip(b"\0").decode("utf-8", "replace")
    return name.strip() if isinstance(name, str) else ""


def _vendor(name: str) -> str:
    words = name.lower().split()
    return next((vendor for vendor in ("apple", "amd", "intel", "nvidia") if vendor in words), "other")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _real(value: object) -> float | None:
    number = _number(value)
    return None if number is None else float(number)
