"""Runs the sidecar: one instance a data folder, one loopback socket, until told to end. Blocks on nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from aiohttp import web
from filelock import FileLock, Timeout

from api.app import build
from core import detect, token
from core.config import Paths
from core.endpoint import Endpoint
from core.errors import CoreError
from core.platform import make_private_dir
from core.supervisor import Supervisor

ADDRESS = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0


class AlreadyServed(CoreError):
    """Another sidecar serves this data folder."""

    code = "already_served"
    title = "Already running"


class AddressTaken(CoreError):
    """Another program holds the sidecar's port."""

    code = "address_taken"
    title = "Port already in use"


@contextmanager
def only_instance(paths: Paths) -> Iterator[Path]:
    """Hold the data folder's lock. Yields the file that tells a second instance whom it met.

    Raises AlreadyServed, or OSError if the folder cannot be used. Blocks on the disk.
    """
    make_private_dir(str(paths.run))
    note = paths.run / "sidecar.json"
    lock = FileLock(paths.run / "sidecar.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyServed(f"Another sidecar serves {paths.data}{_who(note)}.") from None
    try:
        yield note
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _who(note: Path) -> str:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return f": {found['url']} (pid {found['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve on loopback; yields the URL. Raises AddressTaken, naming the holder."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=False)
    await runner.setup()
    try:
        await _bind(runner, port)
        yield f"http://{ADDRESS}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, ADDRESS, port).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        listener = await asyncio.to_thread(detect.find_listener, Endpoint.parse(f"http://{ADDRESS}:{port}"))
        holder = f"it is held by {listener.owner}" if listener else str(error.strerror)
        raise AddressTaken(
            f"The sidecar cannot listen on {ADDRESS}:{port}: {holder}.",
            action="End that program, or choose another port with --port or `port` in ollama-sidecar.json.",
        ) from error


@asynccontextmanager
async def sidecar(paths: Paths, port: int, supervisor: Supervisor) -> AsyncIterator[str]:
    """Everything that must be up while the sidecar serves: lock, token, socket. Yields the URL.

    Raises AlreadyServed, AddressTaken, or OSError if the data folder cannot be used.
    """
    with only_instance(paths) as note:
        secret = await asyncio.to_thread(token.read_or_create, paths.run)
        async with listening(build(supervisor, paths, secret), port) as url:
            with suppress(OSError):
                note.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
            yield url
