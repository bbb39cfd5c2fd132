"""Whose program is at the other end of a TCP connection within this machine. One function, equal on every platform.

Not part of `core.platform` itself, which the shim imports and which therefore stays small.

- `socket_owner_is_us(peer, own)`: whether the socket at address `peer`, connected to ours at `own`, belongs to this
  very user or to root. None where the platform does not tell. False also if that socket is gone, since nobody can say
  any more whose it was. Addresses are (IP, port). Blocks on the system's table: call it in a thread.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from core.platform.sockets.peer_windows import socket_owner_is_us
elif sys.platform == "darwin":

    def socket_owner_is_us(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
        """None: macOS shows the table to root only."""
        return None
else:
    from core.platform.sockets.peer_linux import socket_owner_is_us

__all__ = ["socket_owner_is_us"]
