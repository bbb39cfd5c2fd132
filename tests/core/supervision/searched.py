"""Starts an Ollama for the settings below a folder, and prints of how many processes the descriptors were listed.

Run by `test_searched_linux`: Python calls its audit hooks for every folder that is listed, and never lets go of one.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from core.settings.paths import Paths
from core.supervision.supervisor import Supervisor

searched: list[str] = []


def note(event: str, arguments: tuple[object, ...]) -> None:
    """For `sys.addaudithook`."""
    if event in ("os.listdir", "os.scandir") and (found := re.match(r"/proc/(\d+)/fd", str(arguments[0]))):
        searched.append(found[1])


async def start() -> None:
    """Print the pid of the Ollama, and those of the processes that were searched on the way."""
    supervisor = Supervisor(Paths(Path(sys.argv[1])))
    running = asyncio.create_task(supervisor.run())
    await supervisor.status()
    sys.addaudithook(note)
    status = await supervisor.start()
    print(status.pid, *sorted(set(searched)))
    supervisor.close(stop_ollama=True)
    await running


asyncio.run(start())
