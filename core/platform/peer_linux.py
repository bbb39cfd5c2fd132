"""Linux: the owner of a connected socket, from /proc/net/tcp and tcp6. Contract: `core.platform.peer`."""

from __future__ import annotations

import ipaddress
import os
import sys

assert sys.platform == "linux"

_UID, _INODE = 7, 9


def socket_owner_is_us(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
    """See `core.platform.peer`. None if neither table can be read."""
    told = False
    for path, is_wide in (("/proc/net/tcp", False), ("/proc/net/tcp6", True)):
        try:
            with open(path, "rb") as table:
                rows = table.read()
        except OSError:
            continue
        told = True
        # Looked for as text: of thousands of rows only one is taken apart.
        start = rows.find(b": %s %s " % (_end(peer, is_wide), _end(own, is_wide)))
        if start >= 0:
            return _is_ours(rows[start:].split(None, _INODE + 1))
    return False if told else None


def _is_ours(fields: list[bytes]) -> bool:
    # A socket that its owner has closed has no inode any more, and then the kernel shows root as its user.
    return int(fields[_INODE]) != 0 and int(fields[_UID]) in (os.geteuid(), 0)


def _end(address: tuple[str, int], is_wide: bool) -> bytes:
    """An address as the kernel prints it: 32-bit words in the machine's own order, and the port."""
    ip = ipaddress.ip_address(address[0])
    if is_wide and ip.version == 4:
        # What a program has that speaks IPv4 through an IPv6 socket.
        ip = ipaddress.ip_address(f"::ffff:{ip}")
    words = (int.from_bytes(ip.packed[at : at + 4], sys.byteorder) for at in range(0, len(ip.packed), 4))
    return b"%s:%04X" % ("".join(f"{word:08X}" for word in words).encode(), address[1])
