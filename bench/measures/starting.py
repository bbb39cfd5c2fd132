"""From the start of a program until it is of use: until `/healthz` answers, and until its icon is shown.

The peers are a bare aiohttp, and a program of ten lines that shows an icon by the same library.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import peers, profiles, tray
from bench.desktop import desktop
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_most
from tests.beds.ending import end
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call, free_port, listens

START_SECONDS = 30.0
END_SECONDS = 30.0


def until_healthy(command: Sequence[str], port: int) -> float:
    """Milliseconds until that program answers `/healthz` on that port. Ends it."""
    began = time.perf_counter()
    silence = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=silence, stdout=silence, stderr=silence) as process:
        try:
            while not _is_healthy(port):
                assert process.poll() is None
                assert time.perf_counter() - began < START_SECONDS
                time.sleep(0.001)
            return (time.perf_counter() - began) * 1000
        finally:
            end(process, END_SECONDS)


def _is_healthy(port: int) -> bool:
    with contextlib.suppress(OSError):
        return listens(port) and call("GET", f"http://127.0.0.1:{port}/healthz").status == 200
    return False


@contextlib.contextmanager
def headless(options: Options) -> Iterator[Take]:
    """The sidecar without an icon."""
    with TemporaryDirectory() as top:
        tray.configure(Path(top), free_port())

        def started(command: list[str]) -> float:
            port = free_port()
            return until_healthy([each.format(port=port) for each in command], port)

        ours = [sys.executable, "-m", "api", "--port", "{port}", "--data-dir", top]

        def take() -> Round:
            port = free_port()
            return {"healthz": Pair(started(ours), until_healthy(peers.aiohttp_command(port), port))}

        # The first of each compiles and fills caches.
        take()
        yield take


@contextlib.contextmanager
def icon(options: Options) -> Iterator[Take]:
    """The program with its icon."""
    with desktop() as desk, TemporaryDirectory() as top:
        root = Path(top)
        tray.configure(root, free_port())

        def shown(program: contextlib.AbstractContextManager[object]) -> float:
            desk.forget_icons()
            began = time.perf_counter()
            with program:
                desk.wait_for_icon()
                return (time.perf_counter() - began) * 1000

        def take() -> Round:
            return {"icon": Pair(shown(tray.ours(root, desk)), shown(tray.bare(desk)))}

        take()
        yield take


def headless_profile() -> Sequence[str]:
    """The longest imports of the sidecar."""
    return ["Of the imports, each with its own:", *profiles.by_import("api.__main__", CHECKOUT)]


def icon_profile() -> Sequence[str]:
    """The longest imports of the program with its icon."""
    return ["Of the imports, each with its own:", *profiles.by_import("tray.__main__", CHECKOUT)]


MEASURES = (
    Measure(
        (Row("healthz", "program start to `/healthz`", "ms", "bare aiohttp", at_most(1.15)),),
        rounds=9,
        bed=headless,
        profile=headless_profile,
    ),
    Measure(
        (Row("icon", "program start to a visible icon", "ms", "pystray in ten lines", at_most(1.3)),),
        rounds=7,
        bed=icon,
        profile=icon_profile,
    ),
)
