"""The owner of a connected socket on Windows, against the real TCP table."""

from __future__ import annotations

import os
import socket
import sys

import pytest

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

from core.platform import sockets_windows
from core.platform.peer import socket_owner_is_us
from tests import tied


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_our_own_socket_is_ours_unless_it_is_gone_or_the_system_does_not_tell(family: int, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        own = server.getsockname()[:2]
        with socket.create_connection(own) as caller:
            accepted, peer = server.accept()
            with accepted:
                assert socket_owner_is_us(peer[:2], own) is (None if tied.ON_WINE else True)
                caller.close()
                assert socket_owner_is_us(peer[:2], own) is (None if tied.ON_WINE else False)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_connection_is_found_by_both_its_ends_and_gone_when_it_is(family: int, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        own = server.getsockname()[:2]
        with socket.create_connection(own) as caller:
            accepted, peer = server.accept()
            with accepted:
                for ends in ((peer[:2], own), (own, peer[:2])):
                    assert sockets_windows.connected(*ends) == (tied.owner(os.getpid()) or 0)
                caller.close()
                assert sockets_windows.connected(peer[:2], own) is None


@tied.beyond_wine("its tables of sockets name no process")
def test_a_connection_that_never_was_is_nobodys() -> None:
    assert socket_owner_is_us(("127.0.0.1", 1), ("127.0.0.1", 2)) is False
