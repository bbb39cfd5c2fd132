"""The `aura-ollama` command. It only wires; the shim is dispatched before anything heavy is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the shim if asked to (`--shim SPEC`), else the sidecar. Returns the exit code."""
    if sys.argv[1:2] == ["--shim"]:
        from core import shim

        return shim.main(sys.argv[2])
    from api import __main__ as headless

    return headless.main()


if __name__ == "__main__":
    sys.exit(main())
