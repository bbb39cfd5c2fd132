"""dunst, a real notification daemon, on a screen and a bus of the tests' own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.beds.desktop import DEADLINE, Toast
from tests.beds.screen import program

_NAME = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_COMMANDS = "org.dunstproject.cmd0"
# Nothing of the machine's own settings.
_SETTINGS = "[global]\nidle_threshold = 0\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program asked the daemon to show."""

    replaces: int
    icon: str
    title: str
    actions: tuple[str, ...]
    urgency: int


class Dunst:
    """The daemon, and what it has been given to show."""

    def __init__(self, bus: MessageBus, process: psutil.Process) -> None:
        self._bus = bus
        self.process = process
        self.asked: list[Asked] = []
        """All requests so far, in order, as they went over the bus."""

    def note(self, message: Message) -> bool:
        """Keep a request that was overheard. True for one, so that the monitor does not answer it."""
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        if message.member == "Notify":
            _, replaces, icon, title, _, actions, hints, _ = message.body
            self.asked.append(Asked(replaces, icon, title, tuple(actions), hints["urgency"].value))
        return True

    async def request(self, title: str) -> Asked:
        """The newest request with that title, once there is one."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for asked in reversed(self.asked):
                    if asked.title == title:
                        return asked
                await asyncio.sleep(0.02)

    async def count(self) -> int:
        """How many notifications stand on the screen, or would if there was room."""
        answer = await self._bus.call(
            Message(_NAME, _PATH, "org.freedesktop.DBus.Properties", "GetAll", signature="s", body=[_COMMANDS])
        )
        (told,) = answer.body
        return int(told["displayedLength"].value) + int(told["waitingLength"].value)

    async def click(self) -> None:
        """Choose the default action of the notification on top, as `dunstctl action` does."""
        await self.call("NotificationAction", "u", 0)

    async def shown(self) -> list[Toast]:
        """All that was shown so far, the newest first; what stands on the screen is closed."""
        await self.call("NotificationCloseAll")
        (told,) = await self.call("NotificationListHistory")
        return [Toast(each["summary"].value, each["body"].value) for each in told]

    async def toast(self, title: str) -> Toast:
        """The newest toast with that title, once there is one."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for toast in await self.shown():
                    if toast.title == title:
                        return toast
                await asyncio.sleep(0.02)

    async def call(self, member: str, signature: str = "", *body: object) -> list[Any]:
        """What the daemon answers to one of `dunstctl`'s calls."""
        answer = await self._bus.call(Message(_NAME, _PATH, _COMMANDS, member, signature=signature, body=list(body)))
        assert answer is not None
        assert answer.message_type is MessageType.METHOD_RETURN, answer.body
        return answer.body


def installed() -> str:
    """The daemon's path. Raises BedMissing."""
    return program("dunst", "dunst")


@asynccontextmanager
async def dunst(root: Path, display: str, address: str) -> AsyncIterator[Dunst]:
    """The daemon, once it takes notifications; its settings are below `root`. Raises BedMissing."""
    settings = root / "dunstrc"
    settings.write_text(_SETTINGS)
    env = os.environ | {"DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": address, "HOME": str(root)}
    env.pop("WAYLAND_DISPLAY", None)
    bus = await MessageBus(bus_address=address).connect()
    process = await asyncio.create_subprocess_exec(
        installed(), "-config", str(settings), env=env, stderr=asyncio.subprocess.DEVNULL
    )
    monitor = await MessageBus(bus_address=address).connect()
    try:
        await _until_owned(bus)
        found = Dunst(bus, psutil.Process(process.pid))
        monitor.add_message_handler(found.note)
        await monitor.call(
            Message(
                "org.freedesktop.DBus",
                "/org/freedesktop/DBus",
                "org.freedesktop.DBus.Monitoring",
                "BecomeMonitor",
                signature="asu",
                body=[[f"type='method_call',interface='{_NAME}',member='Notify'"], 0],
            )
        )
        yield found
    finally:
        monitor.disconnect()
        await monitor.wait_for_disconnect()  # type: ignore[no-untyped-call]
        process.terminate()
        await process.wait()
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


async def _until_owned(bus: MessageBus) -> None:
    ask = Message(
        "org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "NameHasOwner",
        signature="s",
        body=[_NAME],
    )
    async with asyncio.timeout(DEADLINE):
        while True:
            answer = await bus.call(ask)
            assert answer is not None
            if answer.body == [True]:
                return
            await asyncio.sleep(0.02)
