"""A tray icon for an Ollama that starts and stops at once. Run by `test_xfce_linux`, ends on SIGTERM.

Each click makes two changes, as in the program: at once a passing status, and a little later the new one.
The first argument is the number of models it has while it runs. A line on stdin makes it run as well: its version and,
after a tab, a problem with the settings, if there is one.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace

from core.ollama.models import Model
from core.supervision.state import State, Status
from tray.menu import Act, Command, Facts, view
from tray.program.signals import SignalWatch
from tray.screen import icon

STARTED_AFTER_SECONDS = 0.15
DOWN = Status(State.STOPPED, error="Not reachable")


class Wishes:
    """What was clicked, carried out on a thread of its own."""

    def __init__(self, models: int) -> None:
        listed = tuple(Model(f"model-{number}:latest", 1000 * number + 1) for number in range(models))
        self._up = Status(State.RUNNING, pid=5, version="0.9.3", models=listed)
        self._facts = Facts(DOWN, "http://127.0.0.1:5006", False, False, True, False)
        backend = icon.load(forced=True)
        self.icon = icon.TrayIcon(backend, view(self._facts), self._clicked, self._appeared, lambda _: None)
        self._signals = SignalWatch(lambda _: self.icon.stop())

    def run(self) -> None:
        """Be an icon until SIGTERM."""
        threading.Thread(target=self._read, daemon=True).start()
        with self._signals:
            self.icon.run()

    def _appeared(self) -> None:
        self._signals.claim()

    def _clicked(self, command: Command) -> None:
        print("clicked", command.act, flush=True)
        threading.Thread(target=self._carry_out, args=[command.act], daemon=True).start()

    def _carry_out(self, act: Act) -> None:
        self._show(status=Status(State.STARTING if act is Act.START else State.STOPPING, error="Not reachable"))
        time.sleep(STARTED_AFTER_SECONDS)
        self._show(status=self._up if act is Act.START else DOWN)

    def _read(self) -> None:
        for line in sys.stdin:
            version, _, problem = line.rstrip("\n").partition("\t")
            self._show(status=replace(self._up, version=version, settings_problem=problem or None))

    def _show(self, **changes: object) -> None:
        self._facts = replace(self._facts, **changes)  # type: ignore[arg-type]
        self.icon.show(view(self._facts))


if __name__ == "__main__":
    Wishes(int(sys.argv[1])).run()
