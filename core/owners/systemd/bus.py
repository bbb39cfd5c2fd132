"""One connection to the bus of a systemd: the system's, or the user's own. Every call has a deadline."""

from __future__ import annotations

import asyncio
import logging
import os
import urllib.parse
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from dbus_fast import AuthError, BusType, DBusFastError, InvalidAddressError, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from core.errors import os_error_in_words

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
_DBUS = "org.freedesktop.DBus"
# https://dbus.freedesktop.org/doc/dbus-specification.html and dbus-protocol.h: whom nobody has the name of, and whom no
# program could be started for; and an answer that did not come.
_ABSENT = tuple(f"{_DBUS}.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "Spawn."))
_SILENT = tuple(f"{_DBUS}.Error.{name}" for name in ("NoReply", "Timeout", "TimedOut", "Disconnected"))


class BusTrouble(Exception):
    """The bus or systemd cannot be asked: it is not there, refuses us, or does not answer. The text is a sentence."""


class Refused(Exception):
    """systemd answered with an error: `name` is that of D-Bus, `text` its own words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name
        self.text = text


class _Connection(MessageBus):
    """The library's connection. What it could not send is told by the answer that does not come, and nowhere else."""

    def __init__(self, address: str | None) -> None:
        super().__init__(bus_address=address, bus_type=BusType.SYSTEM)
        self._disconnect_future.add_done_callback(_hear)

    def send(self, msg: Message) -> asyncio.Future[Any]:  # type: ignore[override]
        """Contract: `MessageBus.send`."""
        msg.serial = msg.serial or self.next_serial()
        sent: asyncio.Future[Any] = self._loop.create_future()
        sent.add_done_callback(_hear)
        # When it fails to write, the library closes the socket and then wants to write once more.
        with suppress(OSError):
            if self._writer:
                self._writer.schedule_write(msg, sent)
        return sent


def _hear(done: asyncio.Future[Any]) -> None:
    """Have asyncio not log how it ended: nobody may wait for it."""
    if not done.cancelled():
        done.exception()


class Bus:
    """A connection that has been made. Belongs to one loop."""

    def __init__(self, connection: MessageBus, whose: str) -> None:
        self._connection = connection
        self._whose = whose

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        arguments: Sequence[Any] = (),
        *,
        name: str = SYSTEMD,
        is_interactive: bool = False,
        seconds: float = CALL_SECONDS,
    ) -> list[Any]:
        """The values of the answer. `is_interactive`: the desktop may ask the user for a password meanwhile.

        Raises Refused, and BusTrouble, after `seconds` too.
        """
        message = Message(name, path, interface, member, signature=signature, body=list(arguments))
        if is_interactive:
            message.flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION
        if not self._connection.connected:
            raise self._has_broken()
        try:
            async with asyncio.timeout(seconds):
                answer: Message | None = await self._connection.call(message)
        except TimeoutError:
            raise BusTrouble(f"systemd does not answer on {self._whose} (within {seconds:g} s).") from None
        except (OSError, EOFError, DBusFastError) as error:
            raise self._has_broken() from error
        if answer is None:
            raise self._has_broken()
        if answer.message_type is MessageType.ERROR:
            kind = answer.error_name or "an error without a name"
            if kind.startswith(_ABSENT):
                raise BusTrouble(f"There is no systemd on {self._whose}.")
            if kind.startswith(_SILENT):
                raise BusTrouble(f"systemd does not answer on {self._whose}.")
            text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
            raise Refused(kind, text)
        return answer.body

    def _has_broken(self) -> BusTrouble:
        return BusTrouble(f"{_first_large(self._whose)} has ended the connection.")

    async def subscribe(self, path: str, on_signal: Callable[[Message], None]) -> None:
        """Call `on_signal` with each signal of systemd, of the unit at `path` and of its manager. Raises as `call`."""

        def on_message(message: Message) -> bool:
            if message.message_type is MessageType.SIGNAL:
                on_signal(message)
            return False

        self._connection.add_message_handler(on_message)
        for rule in (
            f"type='signal',sender='{SYSTEMD}',path='{path}'",
            f"type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}'",
            f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'",
        ):
            await self.call("/org/freedesktop/DBus", _DBUS, "AddMatch", "s", [rule], name=_DBUS)
        with suppress(Refused):
            # systemd sends no signals before somebody wants them.
            await self.call(MANAGER_PATH, MANAGER, "Subscribe")

    async def has_ended(self) -> None:
        """Return once the connection has ended."""
        with suppress(Exception):
            await self._connection.wait_for_disconnect()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def connected(*, is_user: bool) -> AsyncIterator[Bus]:
    """A connection of its own, for the block. Raises BusTrouble if it cannot be made within 5 s."""
    whose = "the bus of your session" if is_user else "the system bus"
    address = _user_address() if is_user else None
    if is_user and address is None:
        raise BusTrouble("There is no bus of your session here, so no systemd of your own can be asked.")
    connection: MessageBus | None = None
    try:
        async with asyncio.timeout(CALL_SECONDS):
            connection = await _Connection(address).connect()
    except TimeoutError:
        raise BusTrouble(f"{_first_large(whose)} does not answer (within {CALL_SECONDS:g} s).") from None
    except Exception as error:
        # The library's own errors have no common class.
        log.debug("%s cannot be used", whose, exc_info=True)
        raise BusTrouble(_why_not_connected(error, whose, is_user=is_user)) from error
    try:
        yield Bus(connection, whose)
    finally:
        with suppress(Exception):
            connection.disconnect()


def _first_large(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _why_not_connected(error: Exception, whose: str, *, is_user: bool) -> str:
    variable = f"DBUS_{'SESSION' if is_user else 'SYSTEM'}_BUS_ADDRESS"
    match error:
        case FileNotFoundError():
            return f"There is no {whose[4:]} here, so systemd cannot be asked."
        case ConnectionRefusedError():
            return f"Nobody listens on {whose}, so systemd cannot be asked."
        case PermissionError():
            return f"{_first_large(whose)} may not be opened by this user."
        case InvalidAddressError():
            told = os.environ.get(variable, "")
            return f"{_first_large(whose)} cannot be found: {variable} is {told!r}, which is no address of a bus."
        case AuthError():
            return f"{_first_large(whose)} does not let this user log in."
        case ConnectionError() | EOFError():
            return f"{_first_large(whose)} has ended the connection."
        case OSError(errno=int()):
            return f"{_first_large(whose)} cannot be used: {os_error_in_words(error)}."
    return f"{_first_large(whose)} answers in a way that is not understood."


def _user_address() -> str | None:
    if told := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return told
    # The type checker looks at this for Windows too, which has no such function.
    own = getattr(os, "getuid", lambda: -1)()
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{own}"
    path = Path(folder) / "bus"
    # In a folder of another user's, as after `sudo -u`, it cannot even be looked for.
    with suppress(PermissionError):
        if path.exists():
            return f"unix:path={urllib.parse.quote(str(path))}"
    return None
