"""The console entry point: one command, or without one the tray. The only module that sees `cli` and `tray`.

It only wires, and imports nothing before that is asked for: this is also the first step of a frozen shim.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run what the command line says. The exit code."""
    try:
        from core import interrupt

        interrupt.leave_at_once()
        from cli import table

        name, arguments = table.split(sys.argv[1:])
        if name not in (None, table.RUN):
            from cli import program

            return program.run(name, arguments)
        from tray.program import start

        return start.main(
            arguments, prog="aura-ollama" if name is None else f"aura-ollama {name}", epilog=table.overview
        )
    except KeyboardInterrupt:
        # `cli.exits` may be what was being imported.
        return 130


if __name__ == "__main__":
    sys.exit(main())
