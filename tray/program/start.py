"""The `aura-ollama` command's first step, before anything heavy is imported: a frozen program has no `-m`."""

from __future__ import annotations

import sys

from core.shim import __main__


def main() -> int:
    """Be one of the small parts (`core.shim.__main__`), or the program itself. The exit code."""
    code = __main__.run(sys.argv[1:])
    if code is not None:
        return code
    from core.output import console
    from tray import __main__ as program

    console.detach()
    return program.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
