"""AMD's processors by a made-up /sys/class/drm."""

from __future__ import annotations

from pathlib import Path

from core.platform.gpu.facts import Gpu
from core.platform.gpu.linux import Others


def _write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content + "\n")


def test_cards_of_amd_are_told_by_their_number(tmp_path: Path) -> None:
    """Connectors, render nodes, cards of others and folders that lead nowhere are passed over."""
    _write(
        tmp_path / "card10" / "device",
        vendor="0x1002",
        device="0x744c",
        unique_id="deadbeef",
        product_name="Radeon PRO W7900",
        mem_info_vram_total="51522830336",
        mem_info_vram_used="268435456",
        gpu_busy_percent="37",
    )
    _write(tmp_path / "card10" / "device" / "hwmon" / "hwmon4", temp1_input="54000", power1_average="87000000")
    _write(tmp_path / "card2" / "device", vendor="0x1002", device="0x1638", mem_info_vram_total="536870912")
    _write(tmp_path / "card2-HDMI-A-1", status="connected")
    _write(tmp_path / "card1" / "device", vendor="0x8086", device="0x3e92")
    _write(tmp_path / "renderD128" / "device", vendor="0x1002")
    (tmp_path / "card3").symlink_to(tmp_path / "nowhere")
    integrated, card = Others(tmp_path).read()
    assert card == Gpu("deadbeef", "Radeon PRO W7900", "amd", 51522830336, 268435456, 0.37, 54.0, 87.0)
    assert integrated == Gpu("pci-device", "AMD GPU (0x1638)", "amd", 536870912)


def test_what_cannot_be_read_is_absent(tmp_path: Path) -> None:
    """A sleeping card answers with an error, which a folder in the file's place gives too; texts are no numbers."""
    device = tmp_path / "card0" / "device"
    _write(device, vendor="0x1002", device="0x15bf", mem_info_vram_total="unknown", mem_info_vram_used="-1")
    (device / "gpu_busy_percent").mkdir()
    _write(device / "hwmon" / "hwmon0", temp1_input="", power1_input="1500000")
    assert Others(tmp_path).read() == (Gpu("pci-device", "AMD GPU (0x15bf)", "amd", power=1.5),)
    assert Others(tmp_path / "none").read() == ()
