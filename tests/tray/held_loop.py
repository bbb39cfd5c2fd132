"""The program, but with an About that holds the loop for 3 s: no real part can. Run by `test_program_linux`."""

import sys
import time

from tray import __main__ as program
from tray.app import App
from tray.toasts import Toast


async def hold(self: App, _: str | None) -> Toast:
    """Block the loop's thread, as no part of the product ever should."""
    mark = self._paths.root / "held"
    mark.touch()
    time.sleep(3)  # noqa: ASYNC251 - that is the point
    mark.unlink()
    return Toast("held", "for 3 s")


App._about = hold  # type: ignore[method-assign]
sys.exit(program.main())
