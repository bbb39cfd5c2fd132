"""What must be known of a machine to read figures that were measured on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from tests.beds.sidecar import CHECKOUT


def facts() -> dict[str, str]:
    """Processor, memory, system, Python, the commit that is measured, and how busy the machine is."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.strip()
    processor = _found("/proc/cpuinfo", r"model name\s*: (.*)") or platform.machine()
    kilobytes = int(_found("/proc/meminfo", r"MemTotal:\s+(\d+)") or 0)
    return {
        "processor": f"{os.cpu_count()} × {processor}",
        "memory": f"{kilobytes / 2**20:.1f} GiB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, Linux {platform.release()}",
        "python": platform.python_version(),
        "commit": commit or "unknown",
        "load": f"{psutil.getloadavg()[0]:.1f} processes wanted to run before the first row",
    }


def _found(path: str, pattern: str) -> str | None:
    found = re.search(pattern, Path(path).read_text())
    return found[1] if found else None
