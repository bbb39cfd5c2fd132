"""Linux: the owner of a connected socket. Contract: `core.platform.sockets.peer`.

How it works: a netlink query for that one socket, sock_diag(7). Where the kernel does not support it, /proc/net/tcp and
tcp6 are searched, which takes milliseconds.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
import sys
import threading
from typing import NamedTuple

assert sys.platform == "linux"

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _NLMSG_ERROR = 4, 20, 1, 2
_ANY = 0xFFFF_FFFF
# struct nlmsghdr; the head of inet_diag_req_v2 and its inet_diag_sockid; inet_diag_msg up to that, and its tail.
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_SOCKET = struct.Struct("!HH16s16s")
_TAIL = struct.Struct("=III")
_ANSWER = struct.Struct("=4B48xIIIII")
_ROW_UID, _ROW_INODE = 7, 9
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


class _Owner(NamedTuple):
    uid: int
    inode: int

    @property
    def is_us(self) -> bool:
        # The kernel shows a closed socket with inode 0 and root as its user.
        return self.inode != 0 and self.uid in (os.geteuid(), 0)


class _Kernel:
    """A netlink socket that is kept open, so that it works when no descriptor is left. For any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._line = -1

    def answer(self, question: bytes) -> bytes:
        """The kernel's answer. Raises OSError."""
        with self._turn:
            if self._line < 0:
                kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
                self._line = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG).detach()
            try:
                # The kernel answers before `write` returns, so `read` never blocks.
                os.write(self._line, question)
                return os.read(self._line, 4096)
            except OSError:
                os.close(self._line)
                self._line = -1
                raise


_kernel = _Kernel()


def socket_owner_is_us(peer: tuple[str, int], own: tuple[str, int]) -> bool | None:
    """See `core.platform.sockets.peer`. None if neither netlink nor the tables exist.

    False if we lack the descriptors to ask: a caller that uses up our descriptors must not pass this check by that.
    """
    try:
        owner = _ask(peer, own)
        if owner is None and _ask(own, peer) is not None:
            # The kernel finds our end, so it would have found the other one if it still existed.
            return False
        owner = owner or _search(peer, own)
    except OSError as error:
        return None if error.errno == errno.ENOENT else False
    return owner is not None and owner.is_us


def _ask(local: tuple[str, int], remote: tuple[str, int]) -> _Owner | None:
    """The owner of the socket with these ends. None if there is none, or if the kernel does not support the query.

    Raises OSError for want of descriptors or memory.
    """
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    ends = (socket.inet_pton(family, address).ljust(16, b"\0") for address, _ in (local, remote))
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _ANY)
    body += _SOCKET.pack(local[1], remote[1], *ends) + _TAIL.pack(0, _ANY, _ANY)
    try:
        head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
        answer = _kernel.answer(head + body)
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return None
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        return None
    *_, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    return _Owner(uid, inode)


def _search(peer: tuple[str, int], own: tuple[str, int]) -> _Owner | None:
    """The same, from /proc/net. Raises OSError (ENOENT) if there are no such tables."""
    told = False
    for path, is_wide in (("/proc/net/tcp", False), ("/proc/net/tcp6", True)):
        try:
            with open(path, "rb") as table:
                rows = table.read()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            continue
        told = True
        # A text search, because parsing thousands of rows would be slow.
        start = rows.find(b": %s %s " % (_end(peer, is_wide), _end(own, is_wide)))
        if start >= 0:
            fields = rows[start:].split(None, _ROW_INODE + 1)
            return _Owner(int(fields[_ROW_UID]), int(fields[_ROW_INODE]))
    if not told:
        raise OSError(errno.ENOENT, "The kernel shows no table of TCP sockets")
    return None


def _end(address: tuple[str, int], is_wide: bool) -> bytes:
    """An address as the kernel prints it: 32-bit words in the machine's byte order, and the port."""
    ip = ipaddress.ip_address(address[0])
    if is_wide and ip.version == 4:
        # In the IPv6 table an IPv4 connection has IPv4-mapped addresses.
        ip = ipaddress.ip_address(f"::ffff:{ip}")
    words = (int.from_bytes(ip.packed[at : at + 4], sys.byteorder) for at in range(0, len(ip.packed), 4))
    return b"%s:%04X" % ("".join(f"{word:08X}" for word in words).encode(), address[1])
