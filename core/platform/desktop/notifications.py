"""Notifications on Linux, by the Desktop Notifications Specification 1.2. Used by `desktop.linux` only.

Clicks come back as signals on the connection that showed the notification, so `Notifications` keeps one.
"""

from __future__ import annotations

import asyncio
import html
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbus_fast import DBusFastError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from core.platform.desktop import bus as session
from core.platform.desktop.note import Note

assert sys.platform == "linux"

log = logging.getLogger(__name__)

_NAME = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_SIGNALS = f"type='signal',sender='{_NAME}',path='{_PATH}',interface='{_NAME}'"
_SECONDS = 2.0
_MARGIN_SECONDS = 0.5
_SERVER_DECIDES = -1
_APP_NAME = "Aura Ollama"
_CLICKED, _BUTTON = "default", "open"


def notify(title: str, text: str, icon: str) -> bool:
    """Show one notification and forget it; False if nobody shows it, after 2 s at most."""

    async def ask(bus: MessageBus) -> bool:
        await _notify(bus, await _capabilities(bus), Note(title, text, icon=icon), replaced=0)
        return True

    return session.on_session_bus(ask, _SECONDS) or False


class Notifications:
    """Shows notifications, and calls back when one is clicked. Its thread starts with the first one."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed: asyncio.Event | None = None
        # The rest belongs to that thread.
        self._bus: MessageBus | None = None
        self._daemon = ""
        self._newest: dict[str, int] = {}
        self._on_open: dict[int, Callable[[], None]] = {}

    def show(self, note: Note) -> bool:
        """Show `note`; False if nobody does, after 2 s at most. Blocks; from one thread at a time."""
        if self._thread is None:
            started = threading.Event()
            # A daemon that hangs must not hold up the program's end.
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._serve(started)), name="notifications", daemon=True
            )
            self._thread.start()
            started.wait()
        assert self._loop is not None
        shown = asyncio.run_coroutine_threadsafe(self._show(note), self._loop)
        try:
            return shown.result(_SECONDS + _MARGIN_SECONDS)
        except TimeoutError:
            shown.cancel()
            return False

    def close(self) -> None:
        """Let go of the bus: clicks call nobody any more. From the thread that shows."""
        if self._thread and self._loop and self._closed:
            self._loop.call_soon_threadsafe(self._closed.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        started.set()
        try:
            await self._closed.wait()
        finally:
            await self._disconnect()

    async def _show(self, note: Note) -> bool:
        address = session.address()
        if address is None:
            return False
        try:
            async with asyncio.timeout(_SECONDS):
                if self._bus is None or not self._bus.connected:
                    await self._connect(address)
                assert self._bus is not None
                capabilities = await _capabilities(self._bus)
                self._set_daemon(capabilities.sender or "")
                number = await _notify(self._bus, capabilities, note, replaced=self._newest.get(note.topic, 0))
        except (OSError, EOFError, DBusFastError) as error:
            log.debug("notification: %s: %s", type(error).__name__, error)
            await self._disconnect()
            return False
        self._newest[note.topic] = number
        self._on_open.pop(number, None)
        if note.on_open:
            self._on_open[number] = note.on_open
        return True

    def _set_daemon(self, daemon: str) -> None:
        """Note which daemon answers, and forget the ids of the one before: here they may be other programs'."""
        if daemon != self._daemon:
            self._daemon = daemon
            self._newest.clear()
            self._on_open.clear()

    async def _connect(self, address: str) -> None:
        await self._disconnect()
        self._bus = await MessageBus(bus_address=address).connect()
        self._bus.add_message_handler(self._on_message)
        await session.call(
            self._bus,
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            "s",
            [_SIGNALS],
        )

    async def _disconnect(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None and bus.connected:
            bus.disconnect()
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _on_message(self, message: Message) -> None:
        # Anybody may send a signal to us alone, whatever we asked the bus for.
        if message.message_type is not MessageType.SIGNAL or message.sender != self._daemon:
            return
        match message.member, message.body:
            case "ActionInvoked", [int(number), str(key)] if key in (_CLICKED, _BUTTON):
                if on_open := self._on_open.get(number):
                    on_open()
            case "NotificationClosed", [int(number), int()]:
                self._on_open.pop(number, None)
                self._newest = {topic: newest for topic, newest in self._newest.items() if newest != number}


async def _capabilities(bus: MessageBus) -> Message:
    return await session.call(bus, _NAME, _PATH, _NAME, "GetCapabilities", returns="as")


async def _notify(bus: MessageBus, capabilities: Message, note: Note, *, replaced: int) -> int:
    """The number that the daemon gave the notification."""
    (can,) = capabilities.body
    # Only some servers read markup, and a plain text may look like it: "<nil>".
    text = html.escape(_sendable(note.text), quote=False) if "body-markup" in can else _sendable(note.text)
    actions = []
    if note.on_open and "actions" in can:
        actions = [_CLICKED, "Open", *([_BUTTON, note.button] if note.button else [])]
    # No `desktop-entry` hint: it would have to name a file that the desktop knows, and we install none.
    hints = {"urgency": Variant("y", int(note.urgency))}
    arguments: list[Any] = [
        *(_APP_NAME, replaced, _icon(note.icon), _sendable(note.title), text),
        *(actions, hints, _SERVER_DECIDES),
    ]
    answer = await session.call(bus, _NAME, _PATH, _NAME, "Notify", "susssasa{sv}i", arguments, returns="u")
    return int(answer.body[0])


def _sendable(text: str) -> str:
    """The text in valid UTF-8 and without NUL, either of which would make the bus end the connection."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _icon(icon: str) -> str:
    return Path(icon).as_uri() if os.path.isabs(icon) else icon
