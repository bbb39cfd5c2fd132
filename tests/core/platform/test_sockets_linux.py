"""Whose sockets listen, asked of the kernel and of the processes in question alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from core.platform.sockets import are_held_by

LISTENER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


def listening(address: str, port: int) -> subprocess.Popen[str]:
    """Another process that listens there, once it does; its first line is the port."""
    command = [sys.executable, "-I", "-S", "-c", LISTENER, address, str(port)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_is_held_by_the_process_that_listens_there(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        assert are_held_by(port, [os.getpid()])
        assert not are_held_by(port, [])
        assert not are_held_by(port, [os.getppid(), 1 << 22])
    assert not are_held_by(port, [os.getpid()])


def test_a_port_that_two_processes_share_is_held_by_both_together() -> None:
    """Each has an address of its own: to which of them a name such as `localhost` leads cannot be told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with listening("127.0.0.2", port) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            assert int(other.stdout.readline()) == port
            assert not are_held_by(port, [os.getpid()])
            assert not are_held_by(port, [other.pid])
            assert are_held_by(port, [os.getpid(), other.pid])
            other.stdin.close()


def test_a_connection_holds_no_port_and_many_listeners_are_all_listed() -> None:
    """So many that the kernel tells them in several parts."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(300)]
    try:
        assert all(are_held_by(server.getsockname()[1], [os.getpid()]) for server in servers[::50])
        with socket.create_connection(servers[0].getsockname()) as client:
            assert not are_held_by(client.getsockname()[1], [os.getpid()])
    finally:
        for server in servers:
            server.close()
