"""How soon a reader of `events` hears that an Ollama has crashed, beside the kernel's own notice of the same end.

The Ollamas are stand-ins that are killed. The kernel's notice is what a pidfd in this process gives: nobody can be told
earlier than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil

from bench import profiles
from bench.rows import Measure, Options, Pair, Round, Row, Take, below, p99
from tests import fake_ollama
from tests.beds import BedMissing
from tests.beds.server import OllamaServer
from tests.beds.sidecar import Sidecar
from tests.beds.sse import server_events
from tests.beds.wire import call, free_port

EVENT_SECONDS = 60.0


def end_of(pid: int) -> int:
    """A descriptor that becomes readable when that process ends. Raises BedMissing where there is no such thing."""
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    raise BedMissing("pidfd is Linux's")


class Watch:
    """A reader of a sidecar's `events`, and the kernel's notices, on one loop."""

    def __init__(self, url: str, begin: Callable[[], int]) -> None:
        """`begin` starts an Ollama of which the sidecar will tell, and returns its pid."""
        self._url = f"{url}/api/ollama/events?types=status"
        self._begin = begin

    async def __aenter__(self) -> Watch:
        self._stack = contextlib.AsyncExitStack()
        http = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)))
        response = await self._stack.enter_async_context(http.get(self._url))
        self._events = server_events(response)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _status(self, fits: Callable[[dict[str, object]], bool]) -> None:
        async with asyncio.timeout(EVENT_SECONDS):
            async for event in self._events:
                if event.type == "status" and fits(event.json):
                    return

    async def crash(self) -> Pair:
        """Milliseconds from a kill to the event, and to the kernel's notice."""
        pid = await asyncio.to_thread(self._begin)
        await self._status(lambda status: bool(status["running"]) and status["pid"] == pid)
        notified = asyncio.Event()
        noticed_at = 0.0

        def note() -> None:
            nonlocal noticed_at
            noticed_at = time.perf_counter()
            notified.set()
            asyncio.get_running_loop().remove_reader(descriptor)

        descriptor = end_of(pid)
        try:
            asyncio.get_running_loop().add_reader(descriptor, note)
            killed = time.perf_counter()
            psutil.Process(pid).kill()
            await self._status(lambda status: not status["running"])
            told_at = time.perf_counter()
            await asyncio.wait_for(notified.wait(), EVENT_SECONDS)
        finally:
            os.close(descriptor)
        return Pair((told_at - killed) * 1000, (noticed_at - killed) * 1000)


@contextlib.contextmanager
def watching(url: str, begin: Callable[[], int]) -> Iterator[Callable[[], Pair]]:
    """What makes one crash, and returns its milliseconds."""
    with asyncio.Runner() as runner:
        watch = Watch(url, begin)
        runner.run(watch.__aenter__())
        try:
            yield lambda: runner.run(watch.crash())
        finally:
            runner.run(watch.__aexit__())


@contextlib.contextmanager
def managed_bed() -> Iterator[tuple[Sidecar, Callable[[], int]]]:
    """A sidecar, and what has it start an Ollama."""
    with TemporaryDirectory() as top:
        root = Path(top)
        executable = fake_ollama.install(root / "bin")
        with Sidecar(root, executable=executable, models=root, ollama_port=free_port()) as sidecar:

            def begin() -> int:
                pid = call("POST", f"{sidecar.url}/api/ollama/start", timeout=60).json["pid"]
                assert isinstance(pid, int)
                return pid

            yield sidecar, begin


@contextlib.contextmanager
def managed(options: Options) -> Iterator[Take]:
    """Ends of Ollamas that the sidecar has started."""
    with managed_bed() as (sidecar, begin), watching(sidecar.url, begin) as crash:

        def take() -> Round:
            return {"crash-managed": crash()}

        yield take


@contextlib.contextmanager
def external(options: Options) -> Iterator[Take]:
    """Ends of Ollamas that somebody else has started."""
    with TemporaryDirectory() as top, contextlib.ExitStack() as stack:
        root = Path(top)
        executable = fake_ollama.install(root / "bin")
        port = free_port()
        sidecar = stack.enter_context(Sidecar(root, executable=executable, models=root, ollama_port=port))
        started: list[OllamaServer] = []
        stack.callback(lambda: started[-1].kill() if started else None)

        def begin() -> int:
            for server in started:
                server.kill()
            started[:] = [OllamaServer(root / "home", executable=executable, port=port)]
            started[0].wait_ready()
            return started[0].pid

        crash = stack.enter_context(watching(sidecar.url, begin))

        def take() -> Round:
            return {"crash-external": crash()}

        yield take


def profile() -> Sequence[str]:
    """The system calls of the sidecar from the kill of an Ollama on; strace makes them slower."""
    with managed_bed() as (sidecar, begin), watching(sidecar.url, begin) as crash:
        crash()
        pid = begin()
        with profiles.system_calls(sidecar.process.pid) as lines:
            killed = time.time()
            psutil.Process(pid).kill()
            time.sleep(0.3)
        calls = [line.split(maxsplit=2) for line in lines]
        wanted = ("epoll_wait", "poll", "futex", "read", "openat", "sendto", "waitid", "pidfd")
        return [
            f"{(float(at) - killed) * 1000:6.1f} ms {what[:80]}"
            for _, at, what in calls
            if float(at) >= killed and what.startswith(wanted)
        ][:40]


NOTICE = "the kernel's notice (pidfd)"
MEASURES = (
    Measure(
        (
            Row(
                "crash-managed",
                "crash of a managed Ollama to its event, 99 of 100",
                "ms",
                NOTICE,
                below(20.0),
                take=p99,
            ),
        ),
        rounds=40,
        bed=managed,
        profile=profile,
    ),
    Measure(
        (
            Row(
                "crash-external",
                "crash of an external Ollama to its event, 99 of 100",
                "ms",
                NOTICE,
                below(20.0),
                take=p99,
            ),
        ),
        rounds=30,
        bed=external,
        profile=profile,
    ),
)
