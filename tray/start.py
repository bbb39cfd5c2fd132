"""The `aura-ollama` command's first step, before anything heavy is imported: a frozen program has no `-m`.

The shim must be small and start at once, and so must the helper that asks a Windows console program to end.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Be a shim (`--shim SPEC`), a console helper (`--console-stop PID`), or the program itself. The exit code."""
    match sys.argv[1:]:
        case ["--shim", spec]:
            from core import shim

            return shim.main(spec)
        case ["--console-stop", pid]:
            from core.platform import stop_console

            return stop_console(int(pid))
        case arguments:
            from tray import __main__ as program

            return program.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
