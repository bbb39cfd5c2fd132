"""The entry point of the small processes: the shim, and on Windows the helper that sends Ctrl-C.

Called by `tray.program.start`, and run directly as the program of a frozen shim. Standard library only: these processes
must be small and start at once.
"""

from __future__ import annotations

import os
import sys

from core.platform import leave_bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int | None:
    """Run as a shim (`--shim SPEC`) or a console helper (`--console-stop PID`). The exit code, or None for neither.

    In each case a frozen process first undoes what PyInstaller put into its environment, so that its children do not
    inherit it.
    """
    if getattr(sys, "frozen", False):
        leave_bundle()
        # PyInstaller's own variables. A child that is a PyInstaller program would take them for its own.
        for name in [name for name in os.environ if name.startswith("_PYI_")]:
            del os.environ[name]
    match arguments:
        case ["--shim", spec]:
            from core.shim import main

            return main.main(spec)
        case ["--console-stop", pid]:
            from core.platform import stop_console

            return stop_console(int(pid))
        case _:
            return None


if __name__ == "__main__":
    sys.exit(2 if (code := run(sys.argv[1:])) is None else code)
