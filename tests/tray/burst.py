"""A tray icon that is told of 500 states as fast as can be. Run by `test_program_linux`; ends on SIGTERM."""

import signal
import threading
import time

from core.supervision.state import State, Status
from tray.menu import Facts, view
from tray.program.signals import SignalWatch
from tray.screen import icon


def show_all(shown: icon.TrayIcon) -> None:
    """Show 500 views, the last of them an Ollama that runs, and tell how many were painted."""
    began = time.monotonic()
    for number in range(1, 501):
        state = State.STOPPED if number % 2 else State.RUNNING
        status = Status(state, version=str(number), pid=number, error="Not reachable" if number % 2 else None)
        shown.show(view(Facts(status, None, False, False, False, False)))
        time.sleep(0.001)
    print("shown", time.monotonic() - began, flush=True)
    time.sleep(1)
    print("paints", shown.paints, flush=True)


def main() -> None:
    """Be an icon until SIGTERM."""
    backend = icon.load(forced=True)
    first = view(Facts(Status(), None, False, False, False, False))
    shown = icon.TrayIcon(backend, first, lambda _: None, lambda: watch.claim(), lambda _: None)
    watch = SignalWatch(lambda _: shown.stop())
    with watch:
        threading.Thread(target=show_all, args=[shown], daemon=True).start()
        shown.run()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
