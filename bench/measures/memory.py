"""The memory of each part, once it has answered: sidecar, program with icon, and shim.

Resident memory beside bare programs; of the shim, which shares much with its guard, the proportional set size of both.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench import peers, tray
from bench.desktop import desktop
from bench.measures.idle import program, shim_pids
from bench.measures.status import PATH, running
from bench.rows import Measure, Options, Pair, Round, Row, Take, at_most, below
from tests.beds.cost import proportional_bytes
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import call

CALLS = 20
WAITING = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
MEGABYTE = 1e6


def resident(pid: int) -> float:
    """Megabytes."""
    return float(psutil.Process(pid).memory_info().rss) / MEGABYTE


@contextlib.contextmanager
def headless(options: Options) -> Iterator[Take]:
    """The sidecar, with Ollama up."""

    def take() -> Round:
        with running() as sidecar:
            body = call("GET", f"{sidecar.url}{PATH}").body
            with peers.aiohttp_answering(body) as (url, bare):
                for _ in range(CALLS):
                    call("GET", f"{sidecar.url}{PATH}"), call("GET", f"{url}{PATH}")
                return {"memory-sidecar": Pair(resident(sidecar.process.pid), resident(bare))}

    yield take


@contextlib.contextmanager
def shim(options: Options) -> Iterator[Take]:
    """A shim and its guard, of an Ollama that has just been started."""

    def take() -> Round:
        with running() as sidecar, subprocess.Popen(WAITING, stdin=subprocess.PIPE) as nothing:
            both = sum(map(proportional_bytes, shim_pids(sidecar.root)))
            return {"memory-shim": Pair(both / MEGABYTE, proportional_bytes(nothing.pid) / MEGABYTE)}

    yield take


@contextlib.contextmanager
def icon(options: Options) -> Iterator[Take]:
    """The program with its icon, with Ollama up."""

    def take() -> Round:
        with TemporaryDirectory() as top, program(Path(top)) as pids, desktop() as desk, tray.bare(desk) as bare:
            desk.wait_for_icon()
            return {"memory-tray": Pair(resident(pids[0]), resident(bare.pid))}

    yield take


def headless_profile() -> Sequence[str]:
    """What the imports of the sidecar take."""
    return by_import(("api.__main__", "aiohttp.web", "msgspec", "psutil", "asyncio"))


def shim_profile() -> Sequence[str]:
    """What each of the two takes, and how much of that it shares with nobody."""
    with running() as sidecar:
        told = []
        for name, pid in zip(("shim", "guard"), shim_pids(sidecar.root), strict=False):
            own = psutil.Process(pid).memory_full_info().uss / MEGABYTE
            told.append(f"{name}: {proportional_bytes(pid) / MEGABYTE:.1f} MB (PSS), {own:.1f} MB of its own (USS)")
        return told


def icon_profile() -> Sequence[str]:
    """What the imports of the program take."""
    return by_import(("tray.__main__", "api.__main__", "pystray", "PIL.Image", "asyncio"))


def by_import(modules: Sequence[str]) -> list[str]:
    """The resident memory of a Python that has imported each of these, alone."""
    code = (
        "import psutil, sys, importlib; importlib.import_module(sys.argv[1]); print(psutil.Process().memory_info().rss)"
    )
    told = []
    with desktop() as desk:
        for module in ("sys", *modules):
            command = [sys.executable, "-c", code, module]
            done = subprocess.run(
                command, cwd=CHECKOUT, env=desk.environment(), capture_output=True, text=True, check=True
            )
            told.append(f"{int(done.stdout) / MEGABYTE:5.1f} MB a Python with psutil and {module}")
    return told


MEASURES = (
    Measure(
        (Row("memory-sidecar", "resident memory, sidecar", "MB", "bare aiohttp", at_most(1.2)),),
        rounds=3,
        bed=headless,
        profile=headless_profile,
    ),
    Measure(
        (Row("memory-shim", "memory (PSS), shim and its guard", "MB", "a Python that waits", below(6.0)),),
        rounds=3,
        bed=shim,
        profile=shim_profile,
    ),
    Measure(
        (Row("memory-tray", "resident memory, with an icon", "MB", "pystray in ten lines", at_most(1.3)),),
        rounds=3,
        bed=icon,
        profile=icon_profile,
    ),
)
