"""A sidecar in a process of its own that notes for how long anything has held its loop.

`python -m bench.held DIR` serves the settings below DIR and prints its address. Each line of its standard input is one
JSON object, and is answered by a line: `{"publish": N, "rate": R}` publishes N events of type `job`, R a second, and
then, as `{}` does, answers with the longest callback since the last answer: `{"seconds", "callback", "busy"}`, where
`busy` are the loop thread's processor seconds. It ends with that input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from asyncio import events
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.server import sidecar
from core.events.history import EventType
from core.settings.paths import Paths
from core.sidecar import Sidecar
from tests.beds.sidecar import CHECKOUT

END_SECONDS = 30.0
TICK_SECONDS = 0.01
FILLING = "x" * 800
"""In each event, so that it is as long as one with a status."""


class Longest:
    """The longest run of one callback of any loop in this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.callback = ""

    def watch(self) -> None:
        """From here on. Each step of a task is a callback too; what asyncio itself does between two is little."""
        run = events.Handle._run

        def timed(handle: events.Handle) -> None:
            began = time.perf_counter()
            run(handle)
            span = time.perf_counter() - began
            if span > self.seconds:
                self.seconds, self.callback = span, repr(handle)

        events.Handle._run = timed  # type: ignore[method-assign, assignment]

    def taken(self) -> dict[str, Any]:
        """The answer, and begin anew."""
        told = {"seconds": self.seconds, "callback": self.callback, "busy": time.thread_time()}
        self.seconds, self.callback = 0.0, ""
        return told


class Held:
    """Such a sidecar, seen from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.pid = process.pid
        self.url = self._stdout.readline().strip()

    def longest(self, publish: int = 0, rate: float = 0.0) -> dict[str, Any]:
        """See above; publishes first, which takes `publish / rate` seconds."""
        print(json.dumps({"publish": publish, "rate": rate} if publish else {}), file=self._stdin, flush=True)
        found = json.loads(self._stdout.readline())
        assert isinstance(found, dict)
        return found


@contextlib.contextmanager
def held(root: Path) -> Iterator[Held]:
    """One of them, on the data folder in `root`, until the block ends."""
    command = [sys.executable, "-m", "bench.held", str(root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Held(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


async def serve(root: Path) -> None:
    """What the process does."""
    longest = Longest()
    core = Sidecar(Paths(root))
    async with sidecar(core, 0) as url, asyncio.TaskGroup() as tasks:
        tasks.create_task(core.run())
        print(url, flush=True)
        longest.watch()
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(line)
            if count := wanted.get("publish", 0):
                longest.taken()
                await _publish(core, count, wanted["rate"])
            print(json.dumps(longest.taken()), flush=True)
        core.close(stop_ollama=True)


async def _publish(core: Sidecar, count: int, rate: float) -> None:
    began = time.monotonic()
    done = 0
    while done < count:
        due = min(count, int((time.monotonic() - began) * rate) + 1)
        for number in range(done, due):
            core.events.publish(EventType.JOB, "default", {"number": number, "filling": FILLING})
        done = due
        await asyncio.sleep(TICK_SECONDS)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
