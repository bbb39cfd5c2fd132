"""Runs the sidecar: one per data folder, one socket, until told to end. Never blocks the loop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

from aiohttp import web
from filelock import BaseFileLock, FileLock, Timeout

from api.app import build
from api.hooks import HEADLESS, Hooks
from api.http import expect
from api.http.pool import ConnectionPool
from core import files, token
from core.endpoint import Endpoint
from core.errors import CoreError
from core.ollama.listener import find_listener
from core.platform import birth, delete_if_foreign, make_private_dir, unlink_private, who_else_may_write
from core.settings.paths import Paths
from core.sidecar import Sidecar
from core.threads.single_flight import within

ADDRESS = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0
_DISK_SECONDS = 5.0
_GOODBYE_SECONDS = 1.0
# So many connections may be accepted in one iteration of the loop, before any is closed, so keep it below our limit.
_BACKLOG = 128
T = TypeVar("T")


class AlreadyServed(CoreError):
    """Another sidecar serves this data folder; `url` is its address, None if unknown."""

    code = "already_served"
    title = "Already running"

    def __init__(self, message: str, url: str | None) -> None:
        super().__init__(message)
        self.url = url


class AddressTaken(CoreError):
    """Another program holds the sidecar's port."""

    code = "address_taken"
    title = "Port already in use"


class AddressUnusable(CoreError):
    """The sidecar must not, or cannot, listen at that address."""

    code = "address_unusable"
    title = "Address cannot be used"


class DataOutOfReach(CoreError):
    """The disk that holds the data folder does not answer."""

    code = "data_out_of_reach"
    title = "Data folder does not answer"


@asynccontextmanager
async def only_instance(paths: Paths) -> AsyncIterator[Path]:
    """Hold the data folder's lock. Yields the path of the file in which a second instance finds our URL.

    Raises AlreadyServed, DataOutOfReach, or OSError if the folder cannot be used.
    """
    note = paths.run / "sidecar.json"
    lock = await _on_disk(paths, lambda: _lock(paths, note))
    try:
        yield note
    finally:
        # If the disk does not answer, the system releases the lock at the end of this process.
        with suppress(TimeoutError):
            await within(_GOODBYE_SECONDS, "unlock", lambda: _unlock(lock, note))


async def _on_disk(paths: Paths, work: Callable[[], T]) -> T:
    """What `work` returns or raises, from a thread of its own. Raises DataOutOfReach after 5 s."""
    try:
        return await within(_DISK_SECONDS, "data folder", work)
    except TimeoutError:
        raise DataOutOfReach(
            f"{paths.data} cannot be used: its disk does not answer.",
            action="See to that disk or network drive, or choose another folder with --data-dir.",
        ) from None


def _lock(paths: Paths, note: Path) -> BaseFileLock:
    make_private_dir(str(paths.run))
    if who := who_else_may_write(str(paths.data), paths.data.stat()):
        # The settings in it name the program to run, so nobody else may write them.
        raise PermissionError(errno.EPERM, f"This folder is not used: {who}", str(paths.data))
    delete_if_foreign(str(paths.run / "sidecar.lock"))
    # Locked and released on different threads.
    lock = FileLock(paths.run / "sidecar.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except NotImplementedError:
        raise OSError(errno.ENOTSUP, "Its file system keeps no locks", str(paths.run)) from None
    except Timeout:
        url, pid = _read_note(note)
        where = f": {url} (pid {pid})" if url else ""
        raise AlreadyServed(f"Another sidecar serves {paths.data}{where}.", url) from None
    # The note of a killed sidecar would have a second instance send the token to whatever listens at that URL by now.
    unlink_private(str(note))
    return lock


def _unlock(lock: BaseFileLock, note: Path) -> None:
    unlink_private(str(note))
    lock.release()


def _read_note(note: Path) -> tuple[str | None, int | None]:
    """The URL and the pid of the sidecar that holds the lock; None for both if they cannot be read."""
    try:
        found = json.loads(files.read(str(note)))
        return str(found["url"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve at an IP address; yields the URL. Raises AddressTaken, naming the holder, or AddressUnusable."""
    runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    # Not None between `setup` and `cleanup`.
    http = cast(web.Server, runner.server)
    expect.keep_from_aiohttp(http)
    pool = ConnectionPool(http)
    try:
        server = await _bind(pool, host, port)
        try:
            yield url_of(host, server.sockets[0].getsockname()[1])
        finally:
            server.close()
    finally:
        pool.close()
        await runner.cleanup()


def url_of(host: str, port: int) -> str:
    """The URL by which programs of this machine reach a server bound to `host`; for a wildcard it is on loopback."""
    return Endpoint.parse(f"http://{f'[{host}]' if ':' in host else host}:{port}").base_url


async def _bind(pool: ConnectionPool, host: str, port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(pool, host, port, backlog=_BACKLOG)
    except OSError as error:
        # From Python 3.11.9 on, asyncio raises an OSError without errno in place of EADDRNOTAVAIL.
        if error.errno in (errno.EADDRNOTAVAIL, None):
            raise AddressUnusable(
                f"The sidecar cannot listen on {host}: this machine has no such address.",
                action="Correct --host or `host` in ollama-sidecar.json.",
            ) from error
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        listener = await asyncio.to_thread(find_listener, Endpoint.parse(url_of(host, port)))
        holder = f"it is held by {listener.owner}" if listener else str(error.strerror)
        raise AddressTaken(
            f"The sidecar cannot listen on {host}:{port}: {holder}.",
            action="End that program, or choose another port with --port or `port` in ollama-sidecar.json.",
        ) from error


@asynccontextmanager
async def sidecar(core: Sidecar, port: int, hooks: Hooks = HEADLESS, host: str = ADDRESS) -> AsyncIterator[str]:
    """Hold all that the sidecar needs while it serves: lock, token, socket. Yields the URL.

    Raises AlreadyServed, AddressTaken, AddressUnusable, DataOutOfReach, or OSError if the data folder cannot be used.
    """
    if not ipaddress.ip_address(host).is_loopback:
        reading = await core.settings.fresh()
        if not reading.settings.sidecar.require_token:
            raise AddressUnusable(
                f"The sidecar does not listen on {host}, where other machines can reach it, without a token.",
                action='Set "requireToken": true in ollama-sidecar.json, or stay on 127.0.0.1.',
            )

    def write_note(url: str) -> None:
        # Without it a second instance still finds the lock, but not our URL.
        with suppress(OSError):
            files.write(str(note), json.dumps({"url": url, "pid": os.getpid(), "birth": birth(os.getpid())}))

    async with only_instance(core.paths) as note:
        await _on_disk(core.paths, lambda: token.read_or_create(core.paths.run))
        async with listening(build(core, hooks), host, port) as url:
            await _on_disk(core.paths, lambda: write_note(url))
            yield url
