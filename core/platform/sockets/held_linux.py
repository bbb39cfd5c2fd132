"""Linux: whether given processes hold all that listens on a port. Contract: `core.platform.sockets`.

How it works: sock_diag(7) lists the sockets that listen, each with its inode, without the connections, of which there
may be thousands. Whoever holds a socket has `socket:[INODE]` among its descriptors, proc(5). An inode belongs to one
socket only, whatever network namespace a process lives in.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator

assert sys.platform == "linux"

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _TCP_LISTEN = 4, 20, 10
_NLM_F_REQUEST, _NLM_F_DUMP, _NLMSG_ERROR, _NLMSG_DONE = 1, 0x300, 2, 3
# struct nlmsghdr; inet_diag_req_v2 up to its inet_diag_sockid, which is 48 bytes long.
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")
# The source port in an inet_diag_msg, in network order, and the inode at its end.
_PORT = struct.Struct("!4xH")
_INODE = struct.Struct("=68xI")
_ANSWER_BYTES = 1 << 16
_ANSWER_SECONDS = 1.0


def are_held_by(port: int, pids: Collection[int]) -> bool:
    """See `core.platform.sockets`."""
    try:
        inodes = set(_inodes(port))
        return bool(inodes) and inodes <= {inode for pid in pids for inode in _sockets_of(pid)}
    except OSError:
        return False


def _inodes(port: int) -> Iterator[int]:
    """Of the TCP sockets that listen on that port. Raises OSError where the kernel does not tell."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as line:
        line.settimeout(_ANSWER_SECONDS)
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << _TCP_LISTEN)
            head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, family, 0)
            line.send(head + body)
            for message in _messages(line):
                if _PORT.unpack_from(message)[0] == port:
                    yield _INODE.unpack_from(message)[0]


def _messages(line: socket.socket) -> Iterator[bytes]:
    """The bodies of one answer, which may come in several parts. Raises OSError."""
    while True:
        part = line.recv(_ANSWER_BYTES)
        while part:
            length, kind, *_ = _HEADER.unpack_from(part)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                raise OSError("The kernel does not list the sockets that listen")
            yield part[_HEADER.size : length]
            # Each message begins at a multiple of four bytes.
            part = part[(length + 3) & ~3 :]


def _sockets_of(pid: int) -> Iterator[int]:
    """The inodes of its sockets; none of a process that has ended, or whose descriptors we may not see."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:
            # It has been closed meanwhile.
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])
