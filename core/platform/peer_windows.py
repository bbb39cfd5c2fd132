"""Windows: the owner of a connected socket, from the TCP table and its process. Contract: `core.platform.peer`."""

from __future__ import annotations

import ipaddress
import sys

import psutil

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")


def socket_owner_is_us(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
    """See `core.platform.peer`. A process that may not be looked at is another user's. None if no process is named."""
    try:
        rows = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    for row in rows:
        if row.status == psutil.CONN_ESTABLISHED and (_plain(row.laddr), _plain(row.raddr)) == (peer, own):
            return _is_ours(row.pid) if row.pid else None
    return False


def _plain(address: object) -> tuple[str, int] | None:
    """(IP, port), with an IPv4 address in IPv6 clothes taken as the IPv4 address."""
    if not isinstance(address, tuple) or len(address) != 2:
        return None
    ip = ipaddress.ip_address(address[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip), int(address[1])


def _is_ours(pid: int) -> bool:
    try:
        return psutil.Process(pid).username() == psutil.Process().username()
    except (psutil.Error, OSError):
        return False
