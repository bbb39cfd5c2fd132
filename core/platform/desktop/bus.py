"""What Linux desktops offer on the session bus: toasts and the tray host. Used by `desktop.linux` only.

Each call opens a connection of its own, in an event loop of its own on the calling thread, and closes it.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
import sys
import urllib.parse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from dbus_fast import DBusFastError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

assert sys.platform == "linux"

log = logging.getLogger(__name__)

_NOTIFICATIONS = "org.freedesktop.Notifications"
_NOTIFICATIONS_PATH = "/org/freedesktop/Notifications"
_WATCHER = "org.kde.StatusNotifierWatcher"
_WATCHER_PATH = "/StatusNotifierWatcher"
_NOTIFY_SECONDS = 2.0
_TRAY_HOST_SECONDS = 0.8
_SERVER_DECIDES = -1
_APP_NAME = "Aura Ollama"

_Answer = TypeVar("_Answer")
# The server's id of the newest notification of each title. There are few titles.
_shown: dict[str, int] = {}


def notify(title: str, text: str, icon: str) -> bool:
    """Show a toast, replacing our last one with that title. False if no server shows it. Takes 2 s at most."""

    async def ask(bus: MessageBus) -> int:
        capabilities = await _call(bus, _NOTIFICATIONS, _NOTIFICATIONS_PATH, _NOTIFICATIONS, "GetCapabilities")
        # Some servers read markup, and plain text such as "<nil>" looks like it.
        body = html.escape(_sendable(text), quote=False) if "body-markup" in capabilities else _sendable(text)
        # No `desktop-entry` hint: with it GNOME removes the toast as soon as this connection closes.
        image = Path(icon).as_uri() if os.path.isabs(icon) else icon
        arguments = [_APP_NAME, _shown.get(title, 0), image, _sendable(title), body, [], {}, _SERVER_DECIDES]
        shown = await _call(
            bus, _NOTIFICATIONS, _NOTIFICATIONS_PATH, _NOTIFICATIONS, "Notify", "susssasa{sv}i", arguments
        )
        return int(shown)

    shown = _on_session_bus(ask, _NOTIFY_SECONDS)
    if shown is None:
        return False
    _shown[title] = shown
    return True


def _sendable(text: str) -> str:
    """The text in valid UTF-8 and without NUL, either of which would make the bus end the connection."""
    return text.encode(errors="replace").decode().replace("\0", "")


def has_tray_host() -> bool:
    """Whether a StatusNotifierWatcher has a host that shows icons; False without a bus, after 0.8 s at most."""

    async def ask(bus: MessageBus) -> bool:
        value: Variant = await _call(
            bus,
            _WATCHER,
            _WATCHER_PATH,
            "org.freedesktop.DBus.Properties",
            "Get",
            "ss",
            [_WATCHER, "IsStatusNotifierHostRegistered"],
        )
        return value.value is True

    return _on_session_bus(ask, _TRAY_HOST_SECONDS) or False


def _on_session_bus(ask: Callable[[MessageBus], Awaitable[_Answer]], seconds: float) -> _Answer | None:
    """What `ask` returns within `seconds`, None if there is no bus, or no valid answer in time."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if not address:
        # The place at which systemd starts the session bus.
        path = os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
        if not os.path.exists(path):
            return None
        address = f"unix:path={urllib.parse.quote(path)}"

    async def connected() -> _Answer:
        async with asyncio.timeout(seconds):
            bus = await MessageBus(bus_address=address).connect()
            try:
                return await ask(bus)
            finally:
                bus.disconnect()
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    try:
        return asyncio.run(connected())
    except (OSError, EOFError, DBusFastError) as error:
        log.debug("session bus: %s: %s", type(error).__name__, error)
        return None


async def _call(
    bus: MessageBus,
    name: str,
    path: str,
    interface: str,
    member: str,
    signature: str = "",
    arguments: list[Any] | None = None,
) -> Any:
    """The first value of the answer. Raises ConnectionError for an error, or an answer without one."""
    message = Message(name, path, interface, member, signature=signature, body=arguments or [])
    answer = await bus.call(message)
    if answer.message_type is not MessageType.METHOD_RETURN or not answer.body:
        raise ConnectionError(f"{member}: {answer.error_name} {answer.body}")
    return answer.body[0]
