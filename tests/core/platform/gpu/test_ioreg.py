"""What macOS' registry prints, in its form, made up."""

from __future__ import annotations

import plistlib

import pytest

from core.platform.gpu.facts import Gpu
from core.platform.gpu.ioreg import accelerators


def test_an_apple_processor_has_no_memory_of_its_own() -> None:
    """What it uses of the machine's is told, a total is not."""
    row = {
        "IORegistryEntryID": 4294968321,
        "model": "Apple M2 Pro",
        "PerformanceStatistics": {"Device Utilization %": 12, "In use system memory": 734003200},
    }
    assert accelerators(plistlib.dumps([row])) == (
        Gpu("ioreg-4294968321", "Apple M2 Pro", "apple", None, 734003200, 0.12),
    )


def test_a_card_of_amd_has() -> None:
    """Its name is bytes that end in a zero."""
    told = {"Device Utilization %": 250, "vramUsedBytes": 1048576, "Temperature(C)": 70, "Total Power(W)": 35}
    row = {"model": b"AMD Radeon Pro 5500M\0", "VRAM,totalMB": 8192, "PerformanceStatistics": told}
    expected = Gpu("ioreg-0", "AMD Radeon Pro 5500M", "amd", 8 << 30, 1048576, 1.0, 70.0, 35.0)
    assert accelerators(plistlib.dumps([row])) == (expected,)


@pytest.mark.parametrize(
    "document", [b"", b"no list", b"<plist><array/></plist>", b'<?xml version="1.0"?><plist><string>x</string></plist>']
)
def test_what_is_no_list_of_processors_is_none(document: bytes) -> None:
    """`ioreg` prints nothing where there is no accelerator."""
    assert accelerators(document) == ()


def test_odd_values_are_absent() -> None:
    """Neither a truth value nor a text is a number."""
    row = {
        "model": 5,
        "VRAM,totalMB": True,
        "PerformanceStatistics": {"Device Utilization %": "x", "vramUsedBytes": -1},
    }
    assert accelerators(plistlib.dumps([row, "no row"])) == (Gpu("ioreg-0", "GPU", "other"),)
