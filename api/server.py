"""Runs the sidecar: one instance a data folder, one loopback socket, until told to end. Blocks on nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web
from filelock import BaseFileLock, FileLock, Timeout

from api.app import build
from api.hooks import HEADLESS, Hooks
from core import detect, token
from core.config import Paths
from core.endpoint import Endpoint
from core.errors import CoreError
from core.platform import make_private_dir
from core.supervisor import Supervisor

ADDRESS = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0


class AlreadyServed(CoreError):
    """Another sidecar serves this data folder, at `url` if it could be learnt."""

    code = "already_served"
    title = "Already running"

    def __init__(self, message: str, url: str | None) -> None:
        super().__init__(message)
        self.url = url


class AddressTaken(CoreError):
    """Another program holds the sidecar's port."""

    code = "address_taken"
    title = "Port already in use"


@asynccontextmanager
async def only_instance(paths: Paths) -> AsyncIterator[Path]:
    """Hold the data folder's lock. Yields the file that tells a second instance whom it met.

    Raises AlreadyServed, or OSError if the folder cannot be used.
    """
    note = paths.run / "sidecar.json"
    lock = await asyncio.to_thread(_lock, paths, note)
    try:
        yield note
    finally:
        await asyncio.to_thread(_unlock, lock, note)


def _lock(paths: Paths, note: Path) -> BaseFileLock:
    make_private_dir(str(paths.run))
    # Worker threads come and go, so the lock must not belong to one.
    lock = FileLock(paths.run / "sidecar.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        url, pid = _who(note)
        where = f": {url} (pid {pid})" if url else ""
        raise AlreadyServed(f"Another sidecar serves {paths.data}{where}.", url) from None
    return lock


def _unlock(lock: BaseFileLock, note: Path) -> None:
    note.unlink(missing_ok=True)
    lock.release()


def _who(note: Path) -> tuple[str | None, int | None]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return str(found["url"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


@asynccontextmanager
async def listening(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve on loopback; yields the URL. Raises AddressTaken, naming the holder."""
    # A refused body is not waited for long.
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, lingering_time=1.0, keepalive_timeout=75.0
    )
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
async def sidecar(paths: Paths, port: int, supervisor: Supervisor, hooks: Hooks = HEADLESS) -> AsyncIterator[str]:
    """Everything that must be up while the sidecar serves: lock, token, socket. Yields the URL.

    Raises AlreadyServed, AddressTaken, or OSError if the data folder cannot be used.
    """
    async with only_instance(paths) as note:
        secret = await asyncio.to_thread(token.read_or_create, paths.run)
        async with listening(build(supervisor, paths, secret, hooks), port) as url:
            await asyncio.to_thread(_introduce, note, url)
            yield url


def _introduce(note: Path, url: str) -> None:
    # Without it a second instance still sees the lock, only not whom it met.
    with suppress(OSError):
        note.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
