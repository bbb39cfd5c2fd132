"""The session bus of Linux, and whether a tray host is on it. For this room only."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dbus_fast import DBusFastError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

assert sys.platform == "linux"

log = logging.getLogger(__name__)

_WATCHER = "org.kde.StatusNotifierWatcher"
_WATCHER_PATH = "/StatusNotifierWatcher"
_TRAY_HOST_SECONDS = 0.8

_Answer = TypeVar("_Answer")


def has_tray_host() -> bool:
    """Whether a StatusNotifierWatcher has a host that shows icons; False without a bus, after 0.8 s at most."""

    async def ask(bus: MessageBus) -> bool:
        answer = await call(
            bus,
            _WATCHER,
            _WATCHER_PATH,
            "org.freedesktop.DBus.Properties",
            "Get",
            "ss",
            [_WATCHER, "IsStatusNotifierHostRegistered"],
            returns="v",
        )
        value: Variant = answer.body[0]
        return value.value is True

    return on_session_bus(ask, _TRAY_HOST_SECONDS) or False


def on_session_bus(ask: Callable[[MessageBus], Awaitable[_Answer]], seconds: float) -> _Answer | None:
    """What `ask` returns within `seconds`, None if there is no bus, or no valid answer in time.

    Opens a connection of its own, in an event loop of its own on the calling thread, and closes it.
    """
    found = address()
    if found is None:
        return None
    try:
        return asyncio.run(_connected(found, ask, seconds))
    except (OSError, EOFError, DBusFastError) as error:
        log.debug("session bus: %s: %s", type(error).__name__, error)
        return None


async def _connected(found: str, ask: Callable[[MessageBus], Awaitable[_Answer]], seconds: float) -> _Answer:
    async with asyncio.timeout(seconds):
        bus = await MessageBus(bus_address=found).connect()
        try:
            return await ask(bus)
        finally:
            bus.disconnect()
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def address() -> str | None:
    """The session bus: $DBUS_SESSION_BUS_ADDRESS, else the place at which systemd starts it, if it is there."""
    told = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if told:
        return told
    path = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
    return f"unix:path={urllib.parse.quote(path)}" if os.path.exists(path) else None


async def call(
    bus: MessageBus,
    name: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    arguments: list[Any] | None = None,
    *,
    returns: str = "",
) -> Message:
    """The answer. Raises ConnectionError for an error, or if its values have another signature than `returns`."""
    message = Message(name, path, interface, member, signature=signature, body=arguments or [])
    answer = await bus.call(message)
    if answer.message_type is not MessageType.METHOD_RETURN or answer.signature != returns:
        raise ConnectionError(f"{member}: {answer.error_name} {answer.body}")
    return answer
