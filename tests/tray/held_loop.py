"""The program, but with an About that holds the loop for 3 s: no real part can. Run by `test_program_linux`."""

import sys
import time
from pathlib import Path

from tray import __main__ as program
from tray import answers
from tray.menu import Facts
from tray.toasts import Toast


def hold(facts: Facts, data: Path) -> Toast:
    """Block the loop's thread, as no part of the product ever should."""
    mark = data.parent / "held"
    mark.touch()
    time.sleep(3)
    mark.unlink()
    return Toast("held", "for 3 s")


answers.about = hold
sys.exit(program.main())
