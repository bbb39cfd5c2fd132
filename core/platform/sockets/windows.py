"""Windows: whose sockets there are, from the TCP tables. Contract: `core.platform.sockets`.

psutil reads the table of all connections, those that linger after their end included, and holds the interpreter's lock
meanwhile: in Wine, where each row costs, nothing else of the program ran for 14 s.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import sys
from collections.abc import Iterator, Sequence
from functools import cache

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

_NO_ERROR, _INSUFFICIENT_BUFFER = 0, 122
_LISTENERS, _CONNECTIONS = 3, 4
_ATTEMPTS = 5
_MORE_ROWS = 4096
# MIB_TCP_STATE_ESTAB
_ESTABLISHED = 5


class _Row4(ctypes.Structure):
    """MIB_TCPROW_OWNER_PID: https://learn.microsoft.com/en-us/windows/win32/api/tcpmib/ns-tcpmib-mib_tcprow_owner_pid."""

    _fields_ = (
        ("state", ctypes.c_uint32),
        ("address", ctypes.c_ubyte * 4),
        ("port", ctypes.c_ubyte * 4),
        ("remote_address", ctypes.c_ubyte * 4),
        ("remote_port", ctypes.c_ubyte * 4),
        ("pid", ctypes.c_uint32),
    )


class _Row6(ctypes.Structure):
    """MIB_TCP6ROW_OWNER_PID: https://learn.microsoft.com/windows/win32/api/tcpmib/ns-tcpmib-mib_tcp6row_owner_pid."""

    _fields_ = (
        ("address", ctypes.c_ubyte * 16),
        ("scope", ctypes.c_uint32),
        ("port", ctypes.c_ubyte * 4),
        ("remote_address", ctypes.c_ubyte * 16),
        ("remote_scope", ctypes.c_uint32),
        ("remote_port", ctypes.c_ubyte * 4),
        ("state", ctypes.c_uint32),
        ("pid", ctypes.c_uint32),
    )


_KINDS: dict[int, type[_Row4] | type[_Row6]] = {socket.AF_INET: _Row4, socket.AF_INET6: _Row6}


def listening(port: int) -> Iterator[tuple[str, int | None]]:
    """See `core.platform.sockets`."""
    for family in _KINDS:
        for row in _rows(family, _LISTENERS):
            if _number(row.port) == port:
                yield socket.inet_ntop(family, bytes(row.address)), row.pid or None


@cache
def tells_owners() -> bool:
    """Whether this system names the processes of sockets at all. Wine names none, and takes seconds for that."""
    return any(row.pid for family in _KINDS for row in _rows(family, _LISTENERS))


def connected(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The process whose socket at `local` is connected to `remote`, None if there is none. Addresses are (IP, port)."""
    for family in _KINDS:
        for row in _rows(family, _CONNECTIONS):
            if row.state != _ESTABLISHED or (_number(row.port), _number(row.remote_port)) != (local[1], remote[1]):
                continue
            if (_plain(family, row.address), _plain(family, row.remote_address)) == (local[0], remote[0]):
                return int(row.pid)
    return None


def _number(port: ctypes.Array[ctypes.c_ubyte]) -> int:
    # In network order, in the first two of four bytes.
    return int.from_bytes(bytes(port[:2]), "big")


def _plain(family: int, address: ctypes.Array[ctypes.c_ubyte]) -> str:
    """The IP address in text; one of IPv4 in the clothes of IPv6 as the IPv4 one it is."""
    ip = ipaddress.ip_address(socket.inet_ntop(family, bytes(address)))
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def _rows(family: int, which: int) -> Sequence[_Row4 | _Row6]:
    kind = _KINDS[family]
    table = ctypes.WinDLL("iphlpapi").GetExtendedTcpTable
    size = ctypes.c_uint32(0)
    buffer = ctypes.create_string_buffer(0)
    for _ in range(_ATTEMPTS):
        error = table(buffer, ctypes.byref(size), 0, family, which, 0)
        if error == _NO_ERROR:
            count = ctypes.c_uint32.from_buffer(buffer).value
            return list((kind * count).from_buffer(buffer, ctypes.sizeof(ctypes.c_uint32)))
        if error != _INSUFFICIENT_BUFFER:
            if family == socket.AF_INET6:
                # A machine without IPv6 has no such table.
                return []
            raise ctypes.WinError(error)
        # It may have grown by the next call.
        size.value += _MORE_ROWS
        buffer = ctypes.create_string_buffer(size.value)
    raise ctypes.WinError(_INSUFFICIENT_BUFFER)
