"""A tray icon that shows one status after the other, as fast as they are painted. Run by `test_xfce_linux`.

After the first 500 changes and after 2,000 more it prints how much memory and how many descriptors it holds, on a line
each; then it stays until SIGTERM. By turns it shows no model, 20 of them, one that is loaded beside a pull, a failure,
and somebody else's Ollama.
"""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil

from core.errors import SpawnFailed
from core.jobs.job import Job, JobState
from core.ollama.models import Model
from core.supervision.state import State, Status
from tray.menu import Facts, View, view
from tray.program.signals import SignalWatch
from tray.screen import icon

WARM_UP, CHANGES = 500, 2000
MODELS = tuple(Model(f"model-{number}:latest", 1000 * number + 1) for number in range(20))


def look(number: int) -> View:
    """What is shown at that change; no two that follow each other are alike."""
    running = Status(State.RUNNING, pid=number, version=f"0.9.{number}", models=MODELS)
    stopped = Status(State.STOPPED, error="Not reachable", settings_problem=f"line {number}")
    loaded = Status(State.RUNNING, pid=number, version="0.9.3", models=MODELS, loaded=("model-7:latest",))
    failed = Status(State.FAILED, error="Not reachable", failure=SpawnFailed(f"Ollama ended with exit code {number}"))
    other = Status(State.EXTERNAL, version=f"0.9.{number}", models=MODELS[:3])
    pull = Job("7", "model-x:latest", "default", JobState.RUNNING, 0.0, "Downloading", percent=number % 100)
    facts = [Facts(status, has_logs=True) for status in (stopped, running, loaded, failed, other)]
    facts[2] = replace(facts[2], pulls=(pull,))
    return view(facts[number % len(facts)])


def show_all(shown: icon.TrayIcon) -> None:
    """Show them all, and measure."""
    for last in (WARM_UP, WARM_UP + CHANGES):
        while shown.paints < last:
            before = shown.paints
            shown.show(look(before))
            while shown.paints == before:
                time.sleep(0.0005)
        gc.collect()
        files = len(list(Path("/proc/self/fd").iterdir()))
        print(psutil.Process().memory_info().rss, files, flush=True)


def main() -> None:
    """Be an icon until SIGTERM."""
    # Otherwise it would paint ten times a second. A panel that reads the menu each time needs some rest.
    icon.PAINT_SECONDS = 0.004
    shown = icon.TrayIcon(icon.load(forced=True), look(0), lambda _: None, lambda: watch.claim(), lambda _: None)
    watch = SignalWatch(lambda _: shown.stop())
    with watch:
        threading.Thread(target=show_all, args=[shown], daemon=True).start()
        shown.run()


if __name__ == "__main__":
    main()
