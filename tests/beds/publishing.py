"""A sidecar in a process of its own whose history of events is filled on demand, as features to come will fill it.

`python -m tests.beds.publishing DIR` serves the settings below DIR, prints its address, publishes as many events of
type `job` as each line of its standard input says, and ends with that input.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from api.server import sidecar
from core.events.history import EventType
from core.settings.paths import Paths
from core.sidecar import Sidecar
from tests.beds.ending import NO_WINDOW
from tests.beds.sidecar import CHECKOUT

DEADLINE = 30.0
FILLING = "x" * 800
"""In each event, so that it is as long as one with a status."""


class Publishing:
    """Such a sidecar: its address, its pid, and a way to have it publish."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._stdout = process.stdout
        self.pid = process.pid
        self.url = self._stdout.readline().strip()

    def publish(self, count: int) -> None:
        """Return once so many events are in the history."""
        print(count, file=self._stdin, flush=True)
        self._stdout.readline()


@contextlib.contextmanager
def publishing(root: Path) -> Iterator[Publishing]:
    """One of them, on the data folder in `root`, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.beds.publishing", str(root)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        creationflags=NO_WINDOW,
    ) as process:
        try:
            yield Publishing(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()


async def serve(root: Path) -> None:
    """What the process does."""
    core = Sidecar(Paths(root))
    async with sidecar(core, 0) as url, asyncio.TaskGroup() as tasks:
        tasks.create_task(core.run())
        print(url, flush=True)
        numbers = itertools.count()
        while line := await asyncio.to_thread(sys.stdin.readline):
            for number in itertools.islice(numbers, int(line)):
                core.events.publish(EventType.JOB, "default", {"number": number, "filling": FILLING})
                if number % 100 == 99:
                    await asyncio.sleep(0)
            print("published", flush=True)
        core.close(stop_ollama=True)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
