"""The owner of a connected socket on Windows, against the real TCP table."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

if sys.platform != "win32":
    raise ImportError("These tests are for Windows only")

from core.platform.sockets import windows
from core.platform.sockets.peer import socket_owner_is_us
from tests import tied


class Connected(NamedTuple):
    """A connection to ourselves: the caller's socket, its own end, and the other one."""

    caller: socket.socket
    peer: tuple[str, int]
    own: tuple[str, int]


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"])
def connected(request: pytest.FixtureRequest) -> Iterator[Connected]:
    """One that is accepted and stays open."""
    family, address = request.param
    with socket.create_server((address, 0), family=family) as server:
        own = server.getsockname()[:2]
        with socket.create_connection(own) as caller:
            accepted, peer = server.accept()
            with accepted:
                yield Connected(caller, peer[:2], own)


def test_our_own_socket_is_ours_unless_it_is_gone_or_the_system_does_not_tell(connected: Connected) -> None:
    assert socket_owner_is_us(connected.peer, connected.own) is (None if tied.ON_WINE else True)
    connected.caller.close()
    assert socket_owner_is_us(connected.peer, connected.own) is (None if tied.ON_WINE else False)


def test_a_connection_is_found_by_both_its_ends_and_gone_when_it_is(connected: Connected) -> None:
    for ends in ((connected.peer, connected.own), (connected.own, connected.peer)):
        assert windows.connected(*ends) == (tied.owner(os.getpid()) or 0)
    connected.caller.close()
    assert windows.connected(connected.peer, connected.own) is None


@tied.beyond_wine("its tables of sockets name no process")
def test_a_connection_that_never_was_is_nobodys() -> None:
    assert socket_owner_is_us(("127.0.0.1", 1), ("127.0.0.1", 2)) is False
