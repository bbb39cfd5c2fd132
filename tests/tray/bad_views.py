"""A tray icon that is told of views that cannot be painted. Run by `test_program_linux`; ends on SIGTERM."""

import signal
import sys
import threading
import time
from dataclasses import replace
from enum import StrEnum
from typing import cast

from core.supervision.state import State, Status
from tray.menu import Facts, Item, Look, view
from tray.program.signals import SignalWatch
from tray.screen import icon


class Nowhere(StrEnum):
    """A look without an image."""

    LOOK = "nowhere"


def show_all(shown: icon.TrayIcon) -> None:
    """Show each kind of bad view, each after the one before was tried, and a good one at last."""
    good = view(Facts(Status(State.STOPPED, error="Not reachable"), None, False, False, False, False))
    bad = [
        replace(good, look=cast(Look, Nowhere.LOOK)),
        replace(good, tooltip=cast(str, None)),
        replace(good, items=(Item("bad", cast(str, 5)),)),
    ]
    for number, each in enumerate([*bad, good], shown.paints + 1):
        shown.show(each)
        while shown.paints < number:
            time.sleep(0.01)
    print("still there", flush=True)


def main() -> None:
    """Be an icon until SIGTERM."""
    first = view(Facts(Status(State.RUNNING, pid=1), None, False, False, False, False))
    began = threading.Event()

    def appeared() -> None:
        watch.claim()
        began.set()

    shown = icon.TrayIcon(icon.load(forced=True), first, lambda _: None, appeared, lambda _: None)
    watch = SignalWatch(lambda _: shown.stop())

    def begin() -> None:
        began.wait()
        while not shown.paints:
            time.sleep(0.01)
        show_all(shown)

    with watch:
        threading.Thread(target=begin, daemon=True).start()
        shown.run()
        print("ended", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
    sys.exit(0)
