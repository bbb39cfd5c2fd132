"""What we tell the service manager that started us: sd_notify(3), a datagram of lines to the socket in $NOTIFY_SOCKET.

systemd sets that variable for a unit of `Type=notify`. Other systems have no such manager: `notified` is None there.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manager:
    """A service manager that hears us. `watchdog` is how many seconds it waits for `WATCHDOG=1`, None for ever."""

    address: str
    watchdog: float | None = None

    def tell(self, *lines: str) -> bool:
        """Send these lines (`READY=1`, `STATUS=…`). Never blocks; False if they were not taken: try again later."""
        if sys.platform == "win32":
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sender:
                sender.setblocking(False)
                # unix(7): an abstract name begins with a zero byte, for which the variable has an @.
                address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
                sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
        return True


def notified() -> Manager | None:
    """The manager that waits to hear from this process, None if there is none.

    Takes its variables out of the environment: what we start must not speak for us. Call it once, before any thread.
    """
    address = os.environ.pop("NOTIFY_SOCKET", "")
    seconds = _watchdog_seconds(os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", ""))
    # Other kinds of addresses (vsock) are for virtual machines.
    if sys.platform == "win32" or not address.startswith(("/", "@")):
        return None
    return Manager(address, seconds)


def _watchdog_seconds(microseconds: str, pid: str) -> float | None:
    """sd_watchdog_enabled(3): the time counts only for the process that is named, where one is."""
    if not (microseconds.isascii() and microseconds.isdigit()) or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1e6 or None
