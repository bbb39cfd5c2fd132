"""What Ctrl-C does before a command begins, and once it is done: it ends at once, without a word. For entry points.

How it works: Python turns SIGINT into KeyboardInterrupt wherever the main thread happens to be, and half of the first
second is spent in imports, whose own callbacks print such an exception and go on. So until somebody can make sense of
it, the handler leaves the process. Nothing has been begun by then.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
"""The exit code: 128 and the number of SIGINT, as shells have it."""


def leave_at_once() -> None:
    """Have SIGINT end the process with the exit code 130. Main thread only.

    Where SIGINT is ignored, as in a shell's background job, or somebody handles it, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """Have SIGINT raise KeyboardInterrupt again, as Python does, if `leave_at_once` has changed that."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
