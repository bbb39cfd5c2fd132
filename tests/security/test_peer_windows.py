"""The owner of a connected socket on Windows, against the real TCP table."""

from __future__ import annotations

import socket
import sys

import pytest

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

from core.platform.peer import socket_owner_is_us


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_our_own_socket_is_ours_unless_it_is_gone_or_the_system_does_not_tell(family: int, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        own = server.getsockname()[:2]
        with socket.create_connection(own) as caller:
            accepted, peer = server.accept()
            with accepted:
                assert socket_owner_is_us(peer[:2], own) in (True, None)
                caller.close()
                assert socket_owner_is_us(peer[:2], own) is False


def test_a_connection_that_never_was_is_nobodys() -> None:
    assert socket_owner_is_us(("127.0.0.1", 1), ("127.0.0.1", 2)) is False
