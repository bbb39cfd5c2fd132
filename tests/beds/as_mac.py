"""Runs a program of ours as on a Mac, as far as launchd goes: `python -m tests.beds.as_mac api --port 0`.

On Linux, with the stand-in for launchctl of `tests.beds.launchd` first on the PATH. Owners may be jobs of launchd, and
`aura-ollama service` writes a launch agent; all else is Linux.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module


def main(module: str) -> None:
    """Run the package `module` with the arguments that are left."""
    vars(import_module("core.settings.owner"))["SYSTEM"] = "macOS"
    # These choose by the system's name when they are imported, and stay Linux's.
    for other in ("core.platform.desktop", "urllib.request"):
        import_module(other)
    real, sys.platform = sys.platform, "darwin"
    try:
        import_module("core.platform.service")
    finally:
        sys.platform = real
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv.pop(1))
