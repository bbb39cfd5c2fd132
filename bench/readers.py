"""Readers of a stream that take all there is as fast as it comes, on threads of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def readers(url: str, path: str, count: int) -> Iterator[None]:
    """So many of them, each of whom has the head of its answer, until the block ends."""
    port = int(url.rpartition(":")[2])
    connections = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
            connections.append(connection)
        threads = [threading.Thread(target=_drain, args=[connection], daemon=True) for connection in connections]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


def _drain(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(1 << 18):
            pass
