"""What holds for every test: nothing it started survives it, and nothing in the product blocks the loop."""

from __future__ import annotations

import ctypes
import http.server
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from blockbuster import blockbuster_ctx

from tests import tied
from tests.beds import BedMissing
from tests.beds.browser import driven
from tests.beds.require import require
from tests.beds.server import models_dir
from tests.beds.systemd import Booted
from tests.rig import below_us, reaped

if TYPE_CHECKING:
    from playwright.sync_api import Browser

collect_ignore_glob = [f"*_{name}.py" for name in ("linux", "windows") if not sys.platform.startswith(name[:3])]
# All of it drives a browser, which is Linux's, and so does what its conftest.py imports.
collect_ignore = [] if sys.platform == "linux" else ["page"]

# What a shell without job control starts in the background ignores Ctrl-C, and so does all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SETTLE_SECONDS = 3.0
PR_SET_CHILD_SUBREAPER = 36


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and by which chance tests/chaos goes about its work."""
    chaos = parser.getgroup("chaos")
    chaos.addoption("--chaos-seed", type=int, default=0, help="where the chance of tests/chaos begins (default: 0)")
    chaos.addoption("--chaos-rounds", type=int, default=200, help="how many kills tests/chaos makes (default: 200)")


def pytest_sessionstart() -> None:
    """Build the beds once, before any test's time counts. What a machine cannot have, the tests themselves report."""
    with suppress(BedMissing):
        models_dir()


def pytest_configure() -> None:
    """On Linux, become the parent of every orphan that a test makes, so that none escapes the count.

    nohup(1) has SIGHUP ignored in all that the tests start, which we obey.
    """
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In Wine, expect what is marked as beyond it to fail, and be patient: a limit that is met ends the whole run."""
    for item in items if tied.ON_WINE else ():
        if mark := item.get_closest_marker("beyond_wine"):
            item.add_marker(pytest.mark.xfail(reason=f"beyond Wine: {mark.args[0]}", strict=True))
        if limit := item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(tied.seconds(limit.args[0])), append=False)


@pytest.fixture(autouse=True)
def nothing_survives() -> Iterator[None]:
    """Fail a test that leaves a process or a thread behind, and end the process."""
    threads = set(threading.enumerate())
    # A bed shared by a whole module, such as an external Ollama, is not this test's.
    processes = set(psutil.Process().children(recursive=True))
    yield
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := _left(threads, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    words = [str(thing) for thing in left]
    for thing in left:
        if isinstance(thing, psutil.Process):
            thing.kill()
    assert not words, f"left behind: {words}"


def _left(threads: set[threading.Thread], processes: set[psutil.Process]) -> list[object]:
    found: list[object] = [thread for thread in threading.enumerate() if thread not in threads and thread.is_alive()]
    return found + [process for process in below_us() if process not in processes and not reaped(process)]


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Fail on a blocking call that the product makes on a loop's thread."""
    with blockbuster_ctx(scanned_modules=["core", "api", "tray"]):
        yield


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of a web server that is no Ollama."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A real browser to drive, for tests that are no coroutines."""
    bed = driven()
    yield require(bed.__enter__)
    bed.__exit__(None, None, None)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """A real systemd of its own, shared by all tests of a module; so is the folder that holds their `tmp_path`."""
    bed = require(lambda: Booted(Path(__file__).parents[1], tmp_path_factory.getbasetemp()))
    require(bed.__enter__)
    yield bed
    bed.__exit__(None, None, None)
