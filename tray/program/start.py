"""The program's first step, before anything heavy is imported: a frozen program has no `-m`.

The entry point of `aura-ollamaw`, and what `aura-ollama` runs for a command line without a command.
"""

from __future__ import annotations

import sys

from core import interrupt
from core.shim import __main__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "aura-ollama", epilog: Callable[[], str] | None = None
) -> int:
    """Be one of the small parts (`core.shim.__main__`), or the program itself. The exit code.

    The help text calls the program `prog`, and ends with what `epilog` returns.
    """
    interrupt.leave_at_once()
    if arguments is None:
        arguments = sys.argv[1:]
    code = __main__.run(arguments)
    if code is not None:
        return code
    from core.output import console
    from tray import __main__ as program

    console.detach()
    return program.main(arguments, prog=prog, epilog=epilog() if epilog else None)


if __name__ == "__main__":
    sys.exit(main())
