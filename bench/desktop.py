"""A desktop without a person for programs with an icon: a session bus, a screen, and a host that shows icons.

The host answers on a thread of its own, so that it does while a measurement waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator

from tests.beds.desktop import Host, host, session_bus
from tests.beds.screen import screen

SHOWN_SECONDS = 20.0


class Desktop:
    """`env` is the environment of programs on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host, bus: str, display: str) -> None:
        self._loop = loop
        self._host = host
        self.env = {
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "DISPLAY": display,
            "NO_AT_BRIDGE": "1",
            "GDK_BACKEND": "x11",
            "WAYLAND_DISPLAY": "",
        }

    def environment(self) -> dict[str, str]:
        """Ours, with the desktop's."""
        return os.environ | self.env

    def forget_icons(self) -> None:
        """Those that have been shown so far."""

        async def forget() -> None:
            self._host.forget_trays()

        asyncio.run_coroutine_threadsafe(forget(), self._loop).result(SHOWN_SECONDS)

    def wait_for_icon(self) -> None:
        """Return once one more icon is shown. Raises TimeoutError."""
        asyncio.run_coroutine_threadsafe(self._host.tray(), self._loop).result(SHOWN_SECONDS)


@contextlib.contextmanager
def desktop() -> Iterator[Desktop]:
    """One of them, until the block ends. Raises BedMissing."""
    with session_bus() as bus, screen() as display:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="tray-host", daemon=True)
        thread.start()
        try:
            hosting = host(bus)
            shown = asyncio.run_coroutine_threadsafe(hosting.__aenter__(), loop).result(SHOWN_SECONDS)
            try:
                yield Desktop(loop, shown, bus, display)
            finally:
                asyncio.run_coroutine_threadsafe(hosting.__aexit__(None, None, None), loop).result(SHOWN_SECONDS)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(SHOWN_SECONDS)
            loop.close()
