"""Windows: the owner of a connected socket, from the TCP table. Contract: `core.platform.sockets.peer`."""

from __future__ import annotations

import sys

import psutil

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

from core.platform.sockets import windows


def socket_owner_is_us(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
    """See `core.platform.sockets.peer`. None if no process is named.

    A process that we may not read belongs to another user.
    """
    try:
        if not windows.tells_owners():
            return None
        pid = windows.connected(peer, own)
    except OSError:
        return None
    try:
        return pid is not None and psutil.Process(pid).username() == psutil.Process().username()
    except (psutil.Error, OSError):
        return False
