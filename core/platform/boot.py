"""Which boot of Linux this is. Not part of `core.platform` itself, which the shim imports."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    """The id of this boot, 32 hexadecimal digits: random(4). Raises OSError."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
