"""Windows: listening sockets, from the TCP tables. Contract: `core.platform.sockets`.

psutil reads the table of all connections, those that linger after their end included, and holds the interpreter's lock
meanwhile: in Wine, where each row costs, nothing else of the program ran for 14 s.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Iterator

if sys.platform != "win32":
    raise ImportError("This module is for Windows only")

_NO_ERROR, _INSUFFICIENT_BUFFER = 0, 122
_OWNER_PID_LISTENER = 3
_ATTEMPTS = 5
_MORE_ROWS = 4096


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


def listening(port: int) -> Iterator[tuple[str, int | None]]:
    """See `core.platform.sockets`."""
    for family, kind in ((socket.AF_INET, _Row4), (socket.AF_INET6, _Row6)):
        for row in _rows(family, kind):
            # In network order, in the first two of four bytes.
            if int.from_bytes(bytes(row.port[:2]), "big") == port:
                yield socket.inet_ntop(family, bytes(row.address)), row.pid or None


def _rows(family: int, kind: type[_Row4] | type[_Row6]) -> list[_Row4] | list[_Row6]:
    table = ctypes.WinDLL("iphlpapi").GetExtendedTcpTable
    size = ctypes.c_uint32(0)
    buffer = ctypes.create_string_buffer(0)
    for _ in range(_ATTEMPTS):
        error = table(buffer, ctypes.byref(size), 0, family, _OWNER_PID_LISTENER, 0)
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
