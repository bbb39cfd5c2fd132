"""Linux and macOS: listening sockets, by psutil. Contract: `core.platform.sockets`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psutil


def listening(port: int) -> Iterator[tuple[str, int | None]]:
    """See `core.platform.sockets`."""
    try:
        for row in psutil.net_connections("tcp"):
            if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port:
                yield row.laddr.ip, row.pid
        return
    except (psutil.AccessDenied, OSError):
        # macOS shows the whole table to root only, but each process's own part to its user.
        processes = psutil.process_iter()
    # Not even that may be possible, for want of a descriptor.
    with suppress(OSError):
        for process in processes:
            with suppress(psutil.Error, OSError):
                for own in process.net_connections("tcp"):
                    if own.status == psutil.CONN_LISTEN and own.laddr.port == port:
                        yield own.laddr.ip, process.pid
