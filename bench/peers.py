"""The programs that ours are compared with, each as bare as it can be."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.beds import BedMissing
from tests.beds.sidecar import CHECKOUT
from tests.beds.wire import free_port, listens

START_SECONDS = 20.0
AIOHTTP = """
import sys
from aiohttp import web

BODY = sys.stdin.buffer.read()

async def answer(request):
    return web.Response(body=BODY, content_type="application/json")

app = web.Application()
app.router.add_get("/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""
PYSTRAY = """
from PIL import Image
import pystray

icon = pystray.Icon(
    "bare",
    Image.new("RGB", (64, 64), "green"),
    "bare",
    pystray.Menu(pystray.MenuItem("Quit", lambda: icon.stop())),
)
icon.run()
"""


def program(name: str, package: str) -> None:
    """Raise BedMissing unless that module can be imported, with the package of PyPI that has it."""
    if importlib.util.find_spec(name) is None:
        raise BedMissing(f"{package} is missing: pip install {package}, or ./dev bench")


def aiohttp_command(port: int) -> list[str]:
    """A server that gives its standard input as the answer to any GET."""
    return [sys.executable, "-c", AIOHTTP, str(port)]


@contextlib.contextmanager
def aiohttp_answering(body: bytes) -> Iterator[tuple[str, int]]:
    """Its URL and its pid, until the block ends."""
    port = free_port()
    with subprocess.Popen(aiohttp_command(port), cwd=CHECKOUT, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(body)
            process.stdin.close()
            wait_until_it_listens(process, port)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    """Return once that program accepts connections there. Raises RuntimeError if it ends, or takes 20 s."""
    deadline = time.monotonic() + START_SECONDS
    while not listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not listen on port {port}: exit code {process.returncode}")
        time.sleep(0.002)


@contextlib.contextmanager
def supervisord(root: Path, executable: Path, env: Mapping[str, str], port: int) -> Iterator[int]:
    """The pid of a supervisord (PyPI: supervisor) that runs `executable serve` on that port, once that listens.

    Raises BedMissing.
    """
    program("supervisor", "supervisor")
    variables = ",".join(f'{name}="{value}"' for name, value in {**env, "OLLAMA_HOST": f"127.0.0.1:{port}"}.items())
    config = root / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={root}/main.log\npidfile={root}/pid\n"
        f"[program:ollama]\ncommand={executable} serve\nenvironment={variables}\n"
        f"stdout_logfile={root}/out.log\nstderr_logfile={root}/err.log\n"
    )
    # Its own warning is about a package of Python's that is to go.
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)]
    silence = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=root, stdin=silence, stdout=silence, stderr=silence) as process:
        try:
            wait_until_it_listens(process, port)
            yield process.pid
        finally:
            process.terminate()
