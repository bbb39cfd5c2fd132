"""The small processes that this product is made of besides its program, chosen by the command line.

Run by `tray.program.start`, and by itself as the shim of a frozen build. Standard library only: they are to be small
and to start at once.
"""

from __future__ import annotations

import os
import sys

from core.platform import leave_bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int | None:
    """Be a shim (`--shim SPEC`) or a console helper (`--console-stop PID`). The exit code; None if asked for neither.

    In any case a frozen process lends nothing of its own to what it starts from then on.
    """
    if getattr(sys, "frozen", False):
        _lend_nothing()
    match arguments:
        case ["--shim", spec]:
            from core.shim import main

            return main.main(spec)
        case ["--console-stop", pid]:
            from core.platform import stop_console

            return stop_console(int(pid))
        case _:
            return None


def _lend_nothing() -> None:
    leave_bundle()
    # PyInstaller's notes to itself.
    for name in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[name]


if __name__ == "__main__":
    sys.exit(2 if (code := run(sys.argv[1:])) is None else code)
