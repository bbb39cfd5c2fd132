"""The images of the tray and of the program, one file a look and size; `draw.py` makes them."""

from __future__ import annotations

from pathlib import Path

SIZES = (16, 20, 22, 24, 28, 32, 36, 40, 44, 48, 64, 128, 256)
LOOKS = ("up", "external", "down", "failed", "busy", "trouble")
APP = "aura-ollama"


def path(look: str, size: int) -> Path:
    """The PNG of a look, or of `APP`, in the smallest size that is at least `size` pixels, or in the largest."""
    fitting = [have for have in SIZES if have >= size]
    return Path(__file__).with_name(f"{look}-{fitting[0] if fitting else SIZES[-1]}.png")


def icon_file(look: str) -> Path:
    """The Windows icon file of a look, or of `APP`, with every size that Windows asks for."""
    return Path(__file__).with_name(f"{look}.ico")
