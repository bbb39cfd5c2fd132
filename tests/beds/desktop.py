"""A desktop without a person: a session bus, a screen, a tray host that shows and clicks, and a place for toasts.

The bus and the screen are real programs (dbus-daemon, Xvfb). The host is the other side of two specifications:
StatusNotifierItem (freedesktop.org), as KDE and GNOME's extension speak it, with com.canonical.dbusmenu for the menu,
and org.freedesktop.Notifications.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from tests.beds.screen import program

DEADLINE = 10.0
_WATCHER = "org.kde.StatusNotifierWatcher"
_ITEM = "org.kde.StatusNotifierItem"
_MENU = "com.canonical.dbusmenu"
_TOASTS = "org.freedesktop.Notifications"
_PARTICULARS = re.compile(r"(?:|….*|:.*|,.*| \(.*)")


_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def session_bus(services: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """A session bus of our own; yields its address. Raises BedMissing.

    It starts by itself only `services`, a command for each name on the bus, with `env` added to their environment:
    whatever this machine has installed, such as a notification daemon, is not there.
    """
    found = program("dbus-daemon", "dbus")
    with tempfile.TemporaryDirectory(prefix="aura-bus-") as folder:
        root = Path(folder)
        for name, command in (services or {}).items():
            (root / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={command}\n")
        config = root / "bus.conf"
        config.write_text(_BUS.format(services=folder))
        process = subprocess.Popen(
            [found, f"--config-file={config}", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(env or {}),
            text=True,
        )
        assert process.stdout is not None
        with process, process.stdout:
            try:
                yield process.stdout.readline().strip()
            finally:
                process.terminate()


@dataclass(frozen=True, slots=True)
class Toast:
    """One notification as it arrived."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One menu entry. `checked` is None for one without a mark."""

    id: int
    label: str
    enabled: bool
    checked: bool | None
    is_separator: bool
    children: tuple[Entry, ...]

    def find(self, *starts: str) -> Entry:
        """The entry with that label, one text a level; the label may go on with particulars: `Models (3)`, `a: 1 B`.

        Raises LookupError, with what there is.
        """
        if not starts:
            return self
        for child in self.children:
            if child.label.startswith(starts[0]) and _PARTICULARS.fullmatch(child.label, len(starts[0])):
                return child.find(*starts[1:])
        raise LookupError(f"no {starts[0]!r} among {[child.label for child in self.children]}")


class Tray:
    """One icon that registered with the host, seen and clicked over the bus."""

    def __init__(self, bus: MessageBus, name: str, path: str) -> None:
        self._bus = bus
        self._name = name
        self._path = path

    async def properties(self) -> dict[str, Any]:
        """Title, Status, IconName, Menu and what else the item tells."""
        (found,) = await self._call(self._path, "org.freedesktop.DBus.Properties", "GetAll", "s", _ITEM)
        return {name: value.value for name, value in found.items()}

    async def menu(self) -> Entry:
        """The whole menu, as a host would show it."""
        path = (await self.properties())["Menu"]
        _, root = await self._call(path, _MENU, "GetLayout", "iias", 0, -1, [])
        return _entry(root)

    async def tell(self, event: str) -> None:
        """Tell the menu that a person has "opened" or "closed" it, as KDE and GNOME's extension do."""
        path = (await self.properties())["Menu"]
        await self._call(path, _MENU, "Event", "isvu", 0, event, Variant("i", 0), 0)

    async def click(self, *labels: str) -> None:
        """Click the entry whose label begins so, one text a level.

        The menu may be rebuilt between the look and the click; a host then has the new one, so it is looked up anew.
        """
        path = (await self.properties())["Menu"]
        async with asyncio.timeout(DEADLINE):
            while True:
                entry = (await self.menu()).find(*labels)
                try:
                    await self._call(path, _MENU, "Event", "isvu", entry.id, "clicked", Variant("i", 0), 0)
                except RuntimeError as refusal:
                    if "does not refer to a menu item" not in str(refusal):
                        raise
                else:
                    return

    async def _call(self, path: str, interface: str, member: str, signature: str, *body: object) -> list[Any]:
        message = Message(self._name, path, interface, member, signature=signature, body=list(body))
        async with asyncio.timeout(DEADLINE):
            answer = await self._bus.call(message)
        assert answer is not None
        if answer.message_type is MessageType.ERROR:
            raise RuntimeError(f"{member}: {answer.error_name} {answer.body}")
        return answer.body


def _entry(node: Any) -> Entry:
    number, properties, children = node.value if isinstance(node, Variant) else node
    value = {name: variant.value for name, variant in properties.items()}
    return Entry(
        number,
        # One underscore marks a letter, two are one.
        re.sub("_(_?)", r"\1", value.get("label", "")),
        value.get("enabled", True),
        value.get("toggle-state") == 1 if value.get("toggle-type") else None,
        value.get("type") == "separator",
        tuple(_entry(child) for child in children),
    )


class Host:
    """The desktop's side of the bus: items that register come out of `trays`, notifications out of `toasts`."""

    def __init__(self, bus: MessageBus) -> None:
        self.trays: asyncio.Queue[Tray] = asyncio.Queue()
        self.toasts: asyncio.Queue[Toast] = asyncio.Queue()
        self.actions: list[list[str]] = []
        """Of each notification so far."""
        self._bus = bus

    async def tray(self) -> Tray:
        """The next icon that registers, within 10 s."""
        async with asyncio.timeout(DEADLINE):
            return await self.trays.get()

    def forget_trays(self) -> None:
        """Drop icons that have registered so far; one may do so more than once."""
        while not self.trays.empty():
            self.trays.get_nowait()

    async def toast(self, title: str) -> Toast:
        """The next notification with that title, within 10 s; those before it are dropped."""
        async with asyncio.timeout(DEADLINE):
            while (toast := await self.toasts.get()).title != title:
                pass
            return toast

    def answer(self, message: Message) -> Message | None:
        """Serve what a tray host and a notification daemon must; the rest is for others."""
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        match message.interface, message.member:
            case (str(), "RegisterStatusNotifierItem"):
                return self._register(message)
            case ("org.freedesktop.DBus.Properties", "Get" | "GetAll") if message.path == "/StatusNotifierWatcher":
                return _watcher_properties(message)
            case (str(), "Notify") if message.interface == _TOASTS:
                self.toasts.put_nowait(Toast(message.body[3], message.body[4]))
                self.actions.append(message.body[5])
                return Message.new_method_return(message, "u", [self.toasts.qsize() + 1])
            case (str(), "CloseNotification"):
                return Message.new_method_return(message)
            case (str(), "GetCapabilities"):
                return Message.new_method_return(message, "as", [["body"]])
            case (str(), "GetServerInformation"):
                return Message.new_method_return(message, "ssss", ["bed", "tests", "1", "1.2"])
        return None

    def _register(self, message: Message) -> Message:
        service = message.body[0]
        # A path alone says that the sender owns it: libayatana-appindicator's way.
        is_path = service.startswith("/")
        name, path = (message.sender or "", service) if is_path else (service, "/StatusNotifierItem")
        self.trays.put_nowait(Tray(self._bus, name, path))
        return Message.new_method_return(message)


def _watcher_properties(message: Message) -> Message:
    values = {
        "RegisteredStatusNotifierItems": Variant("as", []),
        "IsStatusNotifierHostRegistered": Variant("b", True),
        "ProtocolVersion": Variant("i", 0),
    }
    if message.member == "GetAll":
        return Message.new_method_return(message, "a{sv}", [values])
    return Message.new_method_return(message, "v", [values[message.body[1]]])


@asynccontextmanager
async def host(address: str, *, has_toasts: bool = True, has_tray: bool = True) -> AsyncIterator[Host]:
    """A tray host and a notification daemon without buttons, unless told otherwise, on the bus at `address`."""
    bus = await MessageBus(bus_address=address).connect()
    try:
        desk = Host(bus)
        answer: Callable[[Message], Any] = desk.answer
        bus.add_message_handler(answer)
        for name, is_wanted in ((_WATCHER, has_tray), (_TOASTS, has_toasts)):
            if is_wanted:
                await bus.request_name(name)
        yield desk
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
