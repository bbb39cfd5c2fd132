"""AMD's processors on Linux, as the driver amdgpu shows them below /sys/class/drm.

Source: https://docs.kernel.org/gpu/amdgpu/driver-misc.html (memory, busy share) and .../thermal.html (hwmon).
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from core.platform.gpu.facts import Adapter, Gpu

_AMD = "0x1002"
_BUS = Path("/sys/bus/pci/devices")
_VENDORS = {"0x10de": "nvidia", _AMD: "amd"}
# PCI's class of display controllers, those without an output among them.
_DISPLAY = "0x03"
_CARD = re.compile(r"card(\d+)")
_MOST_CHARACTERS = 256


class Others:
    """The cards in one folder like /sys/class/drm."""

    def __init__(self, root: Path = Path("/sys/class/drm")) -> None:
        self._root = root

    def read(self) -> tuple[Gpu, ...]:
        """AMD's cards, by their number. Does not wake a card that sleeps: what needs it awake is absent then."""
        numbered = []
        with suppress(OSError):
            numbered = [(int(match[1]), path) for path in self._root.iterdir() if (match := _CARD.fullmatch(path.name))]
        devices = [path / "device" for _, path in sorted(numbered)]
        return tuple(_gpu(device) for device in devices if _text(device / "vendor") == _AMD)

    def close(self) -> None:
        """Nothing is held."""


def adapters() -> tuple[Adapter, ...]:
    """The display controllers on the PCI bus: https://docs.kernel.org/PCI/sysfs-pci.html. None without such a bus."""
    found = []
    with suppress(OSError):
        for device in sorted(_BUS.iterdir()):
            vendor = _VENDORS.get(_text(device / "vendor"))
            if vendor and _text(device / "class").startswith(_DISPLAY):
                found.append(Adapter(f"device {_text(device / 'device')} at {device.name}", vendor))
    return tuple(found)


def _gpu(device: Path) -> Gpu:
    sensors = sorted(device.glob("hwmon/hwmon*"))
    percent = _number(device / "gpu_busy_percent")
    millidegrees = next((value for one in sensors if (value := _number(one / "temp1_input")) is not None), None)
    return Gpu(
        id=_text(device / "unique_id") or _bus_place(device),
        name=_text(device / "product_name") or f"AMD GPU ({_text(device / 'device') or 'unknown'})",
        vendor="amd",
        memory_total=_number(device / "mem_info_vram_total"),
        memory_used=_number(device / "mem_info_vram_used"),
        busy=None if percent is None else percent / 100,
        temperature=None if millidegrees is None else millidegrees / 1000,
        power=_power(sensors),
    )


def _power(sensors: list[Path]) -> float | None:
    """In W; the files hold µW. Which of the two there is depends on the card."""
    for sensor in sensors:
        for name in ("power1_average", "power1_input"):
            if (microwatts := _number(sensor / name)) is not None:
                return microwatts / 1_000_000
    return None


def _bus_place(device: Path) -> str:
    with suppress(OSError):
        return f"pci-{device.resolve().name}"
    return f"drm-{device.parent.name}"


def _text(path: Path) -> str:
    """What stands in that file, empty if it cannot be read."""
    with suppress(OSError), path.open("r", encoding="utf-8", errors="replace") as file:
        return file.read(_MOST_CHARACTERS).strip()
    return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.isdigit() else None
